# Photos, masks, models and the functions' sources.
module "uploads" {
  source = "./modules/bucket"

  name                = "${var.project}-uploads"
  region              = var.region
  origins             = var.origins
  deletion_protection = var.deletion_protection

  # `settle` deletes photos with their records; a day later nothing is left even if it did not.
  delete_after_days = var.retention_days + 1

  members = local.members
  grants = {
    "roles/storage.objectViewer" = ["accept", "segment", "train"]
    "roles/storage.objectUser"   = ["api", "settle"]
  }
  depends_on = [google_project_service.this]
}

module "results" {
  source = "./modules/bucket"

  name                = "${var.project}-results"
  region              = var.region
  origins             = var.origins
  deletion_protection = var.deletion_protection
  delete_after_days   = var.retention_days + 1
  delete_prefix       = "predictions/" # corrected masks stay: models are trained on them

  members = local.members
  grants = {
    # accept copies a mask of the same user for an equal photo, and never replaces one
    "roles/storage.objectViewer"  = ["accept", "train"]
    "roles/storage.objectCreator" = ["accept"]
    "roles/storage.objectUser"    = ["api", "settle", "segment"]
  }
  depends_on = [google_project_service.this]
}

module "models" {
  source = "./modules/bucket"

  name                = "${var.project}-models"
  region              = var.region
  versioned           = true
  deletion_protection = var.deletion_protection

  members = local.members
  grants = {
    "roles/storage.objectViewer" = ["segment"]
    "roles/storage.objectUser"   = ["train"]
  }
  depends_on = [google_project_service.this]
}

module "sources" {
  source = "./modules/bucket"

  name                = "${var.project}-sources"
  region              = var.region
  deletion_protection = var.deletion_protection

  members    = local.members
  grants     = { "roles/storage.objectViewer" = ["build"] }
  depends_on = [google_project_service.this]
}

# Ours, not one hidden behind a trigger: that would have neither retries nor dead letters (docs/adr).
resource "google_storage_notification" "uploads" {
  bucket         = module.uploads.name
  topic          = module.topic["uploads"].id
  payload_format = "JSON_API_V1"
  event_types    = ["OBJECT_FINALIZE"]

  depends_on = [module.topic] # its grant to Cloud Storage
}
