# A private bucket and who may do what with its objects.
variable "name" { type = string }
variable "region" { type = string }
variable "deletion_protection" { type = bool }

variable "origins" {
  description = "Web origins that may read and write by signed URLs."
  type        = list(string)
  default     = []
}

variable "versioned" {
  description = "Keep what is overwritten or deleted for 90 days."
  type        = bool
  default     = false
}

variable "delete_after_days" {
  description = "0: never."
  type        = number
  default     = 0
}

variable "delete_prefix" {
  description = "Only objects whose names begin so are deleted by age."
  type        = string
  default     = ""
}

variable "grants" {
  description = "role → names in `members`"
  type        = map(list(string))
}

variable "members" { type = map(string) }

locals {
  grants = merge([for role, names in var.grants : { for name in names : "${role} ${name}" => { role = role, name = name } }]...)
}

resource "google_storage_bucket" "this" {
  name                        = var.name
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  # Deleted means deleted: people delete their photos through us.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  versioning {
    enabled = var.versioned
  }

  dynamic "cors" {
    for_each = length(var.origins) == 0 ? [] : [var.origins]
    content {
      origin = cors.value
      method = ["GET", "POST", "PUT"]
      # What a page may send, and read of the answer; the second line is what uploads in pieces need.
      response_header = [
        "Content-Type", "x-goog-content-length-range", "x-goog-if-generation-match",
        "Content-Range", "Location", "Range", "x-goog-resumable",
      ]
      max_age_seconds = 3600
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.delete_after_days == 0 ? [] : [var.delete_after_days]
    content {
      action {
        type = "Delete"
      }
      condition {
        age            = lifecycle_rule.value
        matches_prefix = var.delete_prefix == "" ? null : [var.delete_prefix]
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.versioned ? [90] : []
    content {
      action {
        type = "Delete"
      }
      condition {
        days_since_noncurrent_time = lifecycle_rule.value
      }
    }
  }
}

resource "google_storage_bucket_iam_member" "this" {
  for_each = local.grants

  bucket = google_storage_bucket.this.name
  role   = each.value.role
  member = var.members[each.value.name]
}

output "name" { value = google_storage_bucket.this.name }
