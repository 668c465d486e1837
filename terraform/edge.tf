# The API's own domain, only if it has one: a load balancer costs money while nobody asks it anything.
module "edge" {
  source = "./modules/edge"
  count  = var.domain == "" ? 0 : 1

  domain              = var.domain
  requests_per_minute = var.requests_per_minute
  services            = { for key, one in local.deployed : one.region => module.function[key].name if contains(local.public, one.name) }

  depends_on = [google_project_service.this]
}
