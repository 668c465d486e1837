# One function for each function stage; the API in further regions, too.
locals {
  bundles = jsondecode(file("${var.bundles}/bundles.json")) # stage → file

  # Only the API takes requests from outside; it checks their tokens itself.
  public = [for name, stage in local.functions : name if try(stage.public, false)]
  deployed = merge(
    { for name, stage in local.functions : name => merge(stage, { name = name, region = var.region }) },
    { for pair in setproduct(local.public, var.regions) : join("-", pair) =>
    merge(local.functions[pair[0]], { name = pair[0], region = pair[1] }) },
  )
}

resource "google_storage_bucket_object" "bundle" {
  for_each = local.functions

  bucket = module.sources.name
  name   = "${each.key}-${filesha256("${var.bundles}/${local.bundles[each.key]}")}.zip"
  source = "${var.bundles}/${local.bundles[each.key]}"
}

module "function" {
  source   = "./modules/function"
  for_each = local.deployed

  name        = each.value.name
  region      = each.value.region
  stage       = each.value
  bucket      = module.sources.name
  bundle      = google_storage_bucket_object.bundle[each.value.name].name
  identity    = google_service_account.this[each.value.identity].email
  builder     = google_service_account.this["build"].id
  repository  = module.function_images[each.value.region].id
  environment = local.environment
  public      = contains(local.public, each.value.name)
  balanced    = var.domain != ""
  invoker     = local.members["push"]

  # A build that starts before its grants are there fails for good.
  depends_on = [
    google_project_service.this, google_project_iam_member.build_logs, google_project_iam_member.build_sources,
    module.sources, module.function_images,
  ]
}

module "function_images" {
  source   = "./modules/repository"
  for_each = toset(concat([var.region], var.regions))

  project     = var.project
  name        = "functions"
  region      = each.key
  description = "Images of the functions"
  members     = local.members
  grants      = { "roles/artifactregistry.writer" = ["build"] }

  depends_on = [google_project_service.this]
}
