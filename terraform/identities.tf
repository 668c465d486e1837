# One service account for each component, and what it may do in the project as a whole. What it may do with one bucket,
# topic or service stands beside that.
locals {
  identities = merge(
    { for name, stage in local.pipeline.stages : stage.identity => "stage ${name}" },
    { for name, job in local.pipeline.jobs : job.identity => "job ${name}" },
    { push = "Pub/Sub calls the stages as this", build = "Cloud Build makes the functions as this" },
    var.github == null ? {} : { deploy = "Cloud Build deploys as this" },
  )
  # Whoever can be granted something, by name.
  members = merge(
    { for name, account in google_service_account.this : name => account.member },
    { pubsub-agent = local.pubsub_agent, storage-agent = data.google_storage_project_service_account.this.member },
  )

  # Firestore has no smaller unit to grant than the project's databases.
  document_users = ["accept", "api", "settle", "segment", "train"]
}

resource "google_service_account" "this" {
  for_each = local.identities

  account_id   = "maskline-${each.key}"
  display_name = "Maskline: ${each.value}"

  depends_on = [google_project_service.this]
}

resource "google_project_iam_member" "documents" {
  for_each = toset(local.document_users)

  project = var.project
  role    = "roles/datastore.user"
  member  = local.members[each.key]
}

# The API signs upload URLs as itself, without a key.
resource "google_service_account_iam_member" "signer" {
  service_account_id = google_service_account.this["api"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.members["api"]
}

# Prewarm changes the GPU service, which runs as segment.
resource "google_service_account_iam_member" "prewarm" {
  service_account_id = google_service_account.this["segment"].name
  role               = "roles/iam.serviceAccountUser"
  member             = local.members["prewarm"]
}

resource "google_project_iam_member" "build_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = local.members["build"]
}

# The platform copies a function's source into a bucket that it names itself; no other bucket may be read.
resource "google_project_iam_member" "build_sources" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = local.members["build"]

  condition {
    title      = "function sources only"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-\")"
  }
}
