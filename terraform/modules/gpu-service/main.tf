# A Cloud Run service with one L4 for each instance, from zero, for callers that prove who they are. What the rollout
# changes later, image and traffic above all, is left as it is found.
variable "name" { type = string }
variable "region" { type = string }
variable "image" { type = string }

variable "identity" {
  description = "E-mail of the service account that it runs as."
  type        = string
}

variable "memory_mib" { type = number }

variable "timeout" {
  description = "Seconds; the ack deadline of the subscriptions that push to it."
  type        = number
}

variable "max_instances" {
  description = "Of each revision: provider 6.50 knows no cap over all of them."
  type        = number
}

variable "concurrency" { type = number }
variable "environment" { type = map(string) }

variable "invokers" {
  description = "Who calls it, by any name."
  type        = map(string)
}

variable "deletion_protection" { type = bool }

resource "google_cloud_run_v2_service" "this" {
  name                = var.name
  location            = var.region
  ingress             = "INGRESS_TRAFFIC_ALL" # Cloud Build asks candidates from outside; IAM keeps everybody else out
  deletion_protection = var.deletion_protection

  template {
    service_account                  = var.identity
    timeout                          = "${var.timeout}s"
    max_instance_request_concurrency = var.concurrency
    gpu_zonal_redundancy_disabled    = true

    scaling {
      min_instance_count = 0
      max_instance_count = var.max_instances
    }

    node_selector {
      accelerator = "nvidia-l4"
    }

    containers {
      image = var.image

      ports {
        container_port = 8080
      }

      # 4 CPUs and 16 GiB are the least that comes with an L4; a GPU is billed by instance.
      resources {
        limits            = { cpu = "4", memory = "${var.memory_mib}Mi", "nvidia.com/gpu" = "1" }
        cpu_idle          = false
        startup_cpu_boost = true
      }

      # Traffic waits for the model, up to the 240 s that Cloud Run grants a start.
      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 5
        failure_threshold = 48

        http_get {
          path = "/readyz"
          port = 8080
        }
      }

      dynamic "env" {
        for_each = var.environment
        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }

  lifecycle {
    ignore_changes = [
      client, client_version, traffic, template[0].revision, template[0].labels, template[0].containers[0].image,
      scaling, # prewarm's
    ]
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.invokers

  name     = google_cloud_run_v2_service.this.name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value
}

output "name" { value = google_cloud_run_v2_service.this.name }
output "url" { value = google_cloud_run_v2_service.this.uri }
