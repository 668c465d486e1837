# The GPU: one service that scales from zero, jobs that run to an end, and where their image is kept. The rollout gives
# the service its image, Terraform the jobs.
locals {
  # `shared/capacity.py` `instances`; a test compares
  for_the_peak  = ceil(var.peak_images_per_s / (local.pipeline.capacity.gcp.images_per_s * 0.7))
  gpu_instances = min(var.peak_images_per_s == 0 ? local.segment.max_instances : local.for_the_peak, var.gpu_quota)
}

module "container_images" {
  source = "./modules/repository"

  project     = var.project
  name        = "containers"
  region      = var.region
  description = "Images of the inference container"
  keep        = 10

  depends_on = [google_project_service.this]
}

module "segment" {
  source = "./modules/gpu-service"

  name                = "segment"
  region              = var.region
  image               = var.image
  identity            = google_service_account.this[local.segment.identity].email
  memory_mib          = local.segment.memory_mib
  timeout             = local.segment.timeout
  max_instances       = local.gpu_instances
  concurrency         = 6 * var.max_batch # `shared/capacity.py`; a test compares
  environment         = local.environment
  invokers            = { for name in ["push", "deploy"] : name => local.members[name] if contains(keys(local.identities), name) }
  deletion_protection = var.deletion_protection

  depends_on = [google_project_service.this]
}

resource "google_cloud_run_v2_service_iam_member" "prewarm" {
  name     = module.segment.name
  location = var.region
  role     = "roles/run.developer"
  member   = local.members["prewarm"]
}

module "job" {
  source   = "./modules/gpu-job"
  for_each = local.pipeline.jobs

  name                = each.key
  region              = var.region
  image               = var.image
  command             = each.value.command
  identity            = google_service_account.this[each.value.identity].email
  memory_mib          = each.value.memory_mib
  timeout             = each.value.timeout
  retries             = each.value.retries
  environment         = local.environment
  deletion_protection = var.deletion_protection

  depends_on = [google_project_service.this]
}
