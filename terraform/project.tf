# The project: which APIs it uses, and the service agents that act inside it.
locals {
  project_number = data.google_project.this.number

  # Addressed by number: their own resource exists in the beta provider only.
  pubsub_agent = "serviceAccount:service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"

  apis = concat([
    "artifactregistry", "cloudbuild", "cloudfunctions", "cloudquotas", "cloudscheduler", "firebaserules", "firestore",
    "iam", "iamcredentials", "logging", "monitoring", "pubsub", "run",
    ],
    var.domain == "" ? [] : ["compute"],
    var.billing_account == "" ? [] : ["billingbudgets"],
  )
}

# Apart from the others: the data below waits for these, and must not wait again when another API is added.
resource "google_project_service" "first" {
  for_each = toset(["cloudresourcemanager", "storage"])

  project            = var.project
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

resource "google_project_service" "this" {
  for_each = toset(local.apis)

  project            = var.project
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false

  depends_on = [google_project_service.first]
}

data "google_project" "this" {
  project_id = var.project
  depends_on = [google_project_service.first]
}

# Reading it makes it, so that it can be granted something.
data "google_storage_project_service_account" "this" {
  project    = var.project
  depends_on = [google_project_service.first]
}
