# A stage as a Cloud Function: called by Pub/Sub, or by everybody if it is the API.
variable "name" { type = string }
variable "region" { type = string }

variable "stage" {
  description = "Its row in pipeline.yaml."
  type = object({
    entry         = string
    signature     = string
    memory_mib    = number
    timeout       = number
    concurrency   = number
    max_instances = number
  })
}

variable "bucket" { type = string }
variable "bundle" { type = string }

variable "identity" {
  description = "E-mail of the service account that it runs as."
  type        = string
}

variable "builder" {
  description = "Service account that it is built as."
  type        = string
}

variable "repository" {
  description = "Where its image is kept."
  type        = string
}

variable "environment" { type = map(string) }

variable "public" {
  description = "Everybody may call it: it checks for itself who does."
  type        = bool
}

variable "balanced" {
  description = "A public function is reached through the load balancer only."
  type        = bool
}

variable "invoker" {
  description = "Who calls it if it is not public."
  type        = string
}

locals {
  public_ingress = var.balanced ? "ALLOW_INTERNAL_AND_GCLB" : "ALLOW_ALL"

  # The framework's own: an async server for async functions, as many threads as requests for the others.
  framework = var.stage.signature == "http" ? { FUNCTION_USE_ASGI = "true" } : { THREADS = tostring(var.stage.concurrency) }
}

resource "google_cloudfunctions2_function" "this" {
  name     = var.name
  location = var.region

  build_config {
    runtime           = "python311"
    entry_point       = var.stage.entry
    service_account   = var.builder
    docker_repository = var.repository

    # The image's files all date from 1980. Bytecode that is checked by time would be thrown away and made anew by every
    # cold start; with this set, Python's compiler checks by hash.
    environment_variables = { SOURCE_DATE_EPOCH = "315532800" }

    source {
      storage_source {
        bucket = var.bucket
        object = var.bundle
      }
    }
  }

  service_config {
    available_cpu                    = "1" # less would mean one request at a time
    available_memory                 = "${var.stage.memory_mib}Mi"
    timeout_seconds                  = var.stage.timeout
    max_instance_request_concurrency = var.stage.concurrency
    min_instance_count               = 0
    max_instance_count               = var.stage.max_instances
    ingress_settings                 = var.public ? local.public_ingress : "ALLOW_INTERNAL_ONLY"
    all_traffic_on_latest_revision   = true
    service_account_email            = var.identity
    environment_variables            = merge(var.environment, local.framework)
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  name     = google_cloudfunctions2_function.this.name
  location = var.region
  role     = "roles/run.invoker"
  member   = var.public ? "allUsers" : var.invoker
}

output "name" { value = google_cloudfunctions2_function.this.name }
output "url" { value = google_cloudfunctions2_function.this.service_config[0].uri }
