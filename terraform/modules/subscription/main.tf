# A push subscription: authenticated, retried with backoff, dead-lettered, never expiring.
variable "name" { type = string }
variable "topic" { type = string }

variable "endpoint" {
  description = "The service's address, which is the token's audience, too."
  type        = string
}

variable "path" { type = string }
variable "filter" { type = string }

variable "ack_deadline" {
  description = "Seconds; for a push it is the request's timeout, too."
  type        = number
}

variable "retention" {
  description = "Seconds that a message waits to be taken."
  type        = number
}

variable "retry_min" { type = number }
variable "retry_max" { type = number }
variable "dead_letter_topic" { type = string }
variable "max_delivery_attempts" { type = number }

variable "identity" {
  description = "E-mail of the service account that calls the endpoint."
  type        = string
}

variable "agent" {
  description = "Pub/Sub itself, which moves dead letters."
  type        = string
}

resource "google_pubsub_subscription" "this" {
  name                       = var.name
  topic                      = var.topic
  filter                     = var.filter == "" ? null : var.filter
  ack_deadline_seconds       = var.ack_deadline
  message_retention_duration = "${var.retention}s"

  push_config {
    push_endpoint = "${var.endpoint}${var.path}"

    oidc_token {
      service_account_email = var.identity
      audience              = var.endpoint
    }
  }

  retry_policy {
    minimum_backoff = "${var.retry_min}s"
    maximum_backoff = "${var.retry_max}s"
  }

  dead_letter_policy {
    dead_letter_topic     = var.dead_letter_topic
    max_delivery_attempts = var.max_delivery_attempts
  }

  expiration_policy {
    ttl = "" # never
  }
}

# Without it dead letters stay where they are, silently. The other half is the topic's.
resource "google_pubsub_subscription_iam_member" "dead_letters" {
  subscription = google_pubsub_subscription.this.name
  role         = "roles/pubsub.subscriber"
  member       = var.agent
}
