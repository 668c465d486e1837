# A push to main deploys, once somebody has approved it.
module "builds" {
  source = "./modules/builds"
  count  = var.github == null ? 0 : 1

  project  = var.project
  region   = var.region
  github   = var.github
  identity = google_service_account.this["deploy"].name
  member   = local.members["deploy"]
  edge     = var.domain != ""

  depends_on = [google_project_service.this]
}
