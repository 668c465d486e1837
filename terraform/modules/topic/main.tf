# A topic, who publishes to it, and a subscription that parks what nobody reads.
variable "name" { type = string }

variable "retention" {
  description = "Seconds that a parked message is kept."
  type        = number
}

variable "parked" {
  description = "Nobody reads this topic: without a subscription its messages would be gone at once."
  type        = bool
}

variable "publishers" {
  description = "Names in `members`."
  type        = list(string)
}

variable "members" { type = map(string) }

resource "google_pubsub_topic" "this" {
  name = var.name
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = toset(var.publishers)

  topic  = google_pubsub_topic.this.name
  role   = "roles/pubsub.publisher"
  member = var.members[each.key]
}

resource "google_pubsub_subscription" "parked" {
  count = var.parked ? 1 : 0

  name                       = "${var.name}-parked"
  topic                      = google_pubsub_topic.this.id
  message_retention_duration = "${var.retention}s"

  expiration_policy {
    ttl = "" # never
  }
}

output "id" { value = google_pubsub_topic.this.id }
