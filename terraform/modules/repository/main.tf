# A repository of container images.
variable "project" { type = string }
variable "name" { type = string }
variable "region" { type = string }
variable "description" { type = string }

variable "keep" {
  description = "Images that are kept for ever; older ones are deleted after 30 days. 0: all."
  type        = number
  default     = 0
}

variable "grants" {
  description = "role → names in `members`"
  type        = map(list(string))
  default     = {}
}

variable "members" {
  type    = map(string)
  default = {}
}

locals {
  grants = merge([for role, names in var.grants : { for name in names : "${role} ${name}" => { role = role, name = name } }]...)
}

resource "google_artifact_registry_repository" "this" {
  repository_id = var.name
  location      = var.region
  description   = var.description
  format        = "DOCKER"

  dynamic "cleanup_policies" {
    for_each = var.keep == 0 ? [] : [var.keep]
    content {
      id     = "keep-recent"
      action = "KEEP"
      most_recent_versions {
        keep_count = cleanup_policies.value
      }
    }
  }

  dynamic "cleanup_policies" {
    for_each = var.keep == 0 ? [] : ["2592000s"]
    content {
      id     = "delete-old"
      action = "DELETE"
      condition {
        older_than = cleanup_policies.value
      }
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "this" {
  for_each = local.grants

  repository = google_artifact_registry_repository.this.repository_id
  location   = var.region
  role       = each.value.role
  member     = var.members[each.value.name]
}

output "id" { value = google_artifact_registry_repository.this.id }

output "url" {
  value = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.this.repository_id}"
}
