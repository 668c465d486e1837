# A Cloud Run job with one L4. Its starter adds the arguments.
variable "name" { type = string }
variable "region" { type = string }
variable "image" { type = string }
variable "command" { type = list(string) }

variable "identity" {
  description = "E-mail of the service account that it runs as."
  type        = string
}

variable "memory_mib" { type = number }

variable "timeout" {
  description = "Seconds of one attempt; Google ends a GPU task after 3600, so that work must go on from checkpoints."
  type        = number

  validation {
    condition     = var.timeout <= 3600
    error_message = "A task with a GPU may run for 3600 s at most."
  }
}

variable "retries" { type = number }
variable "environment" { type = map(string) }
variable "deletion_protection" { type = bool }

resource "google_cloud_run_v2_job" "this" {
  name                = var.name
  location            = var.region
  deletion_protection = var.deletion_protection

  template {
    task_count  = 1
    parallelism = 1

    template {
      service_account               = var.identity
      timeout                       = "${var.timeout}s"
      max_retries                   = var.retries
      gpu_zonal_redundancy_disabled = true

      node_selector {
        accelerator = "nvidia-l4"
      }

      containers {
        image   = var.image
        command = var.command

        resources {
          limits = { cpu = "4", memory = "${var.memory_mib}Mi", "nvidia.com/gpu" = "1" }
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
  }

  lifecycle {
    ignore_changes = [client, client_version]
  }
}

output "name" { value = google_cloud_run_v2_job.this.name }
