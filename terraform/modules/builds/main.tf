# The trigger that runs cloudbuild.yaml on every push to main, and the one account that may change everything.
variable "project" { type = string }
variable "region" { type = string }
variable "github" { type = object({ owner = string, name = string, approval = bool }) }
variable "identity" { type = string }
variable "member" { type = string }

variable "edge" {
  description = "It also manages the load balancer."
  type        = bool
}

locals {
  # What `terraform apply` and the candidate's deployment touch; no basic role.
  roles = concat([
    "artifactregistry.admin", "cloudbuild.builds.editor", "cloudfunctions.admin", "cloudscheduler.admin",
    "datastore.owner", "firebaserules.admin", "iam.serviceAccountAdmin", "iam.serviceAccountUser",
    "logging.configWriter", "logging.logWriter", "monitoring.editor", "pubsub.admin",
    "resourcemanager.projectIamAdmin", "run.admin", "serviceusage.serviceUsageAdmin", "storage.admin",
  ], var.edge ? ["compute.loadBalancerAdmin", "compute.securityAdmin"] : [])
}

resource "google_project_iam_member" "this" {
  for_each = toset(local.roles)

  project = var.project
  role    = "roles/${each.key}"
  member  = var.member
}

# The golden photos are sent to a private service: the build proves who it is.
resource "google_service_account_iam_member" "token" {
  service_account_id = var.identity
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = var.member
}

resource "google_cloudbuild_trigger" "main" {
  name            = "main"
  description     = "Check, test, build, apply, candidate, golden photos, hand over"
  location        = var.region
  filename        = "cloudbuild.yaml"
  service_account = var.identity

  github {
    owner = var.github.owner
    name  = var.github.name
    push {
      branch = "^main$"
    }
  }

  approval_config {
    approval_required = var.github.approval
  }

  substitutions = { _REGION = var.region }

  depends_on = [google_project_iam_member.this]
}
