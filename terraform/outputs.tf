output "url" {
  description = "Where the API answers."
  value       = local.url
}

output "uploads" {
  description = "Bucket that photos are copied into."
  value       = module.uploads.name
}

output "results" {
  description = "Bucket of the masks."
  value       = module.results.name
}

output "containers" {
  description = "Repository that the inference container's image is pushed to."
  value       = module.container_images.url
}

output "address" {
  description = "What the domain's A record must say; empty without a domain."
  value       = one(module.edge[*].address)
}
