# What is counted from the logs, who is told, the promise about time, and the dashboard. The alerts: alerts.tf.
variable "emails" { type = list(string) }

variable "runbook" {
  description = "Address of docs/runbook.md: every alert has an anchor there."
  type        = string
}

variable "gpu_service" { type = string }

variable "instances" {
  description = "GPU instances that there may be."
  type        = number
}

variable "patience" {
  description = "Seconds after which a message should have been taken."
  type        = number
}

variable "slow_seconds" {
  description = "From the queue to the mask; 95 of 100 photos are faster."
  type        = number
}

locals {
  # name → which log lines are counted
  counted = {
    queued    = "jsonPayload.component=\"accept\" AND jsonPayload.action=\"queued\""
    committed = "jsonPayload.component=\"segment\" AND jsonPayload.action=\"committed\""
    failed    = "jsonPayload.action=\"failed\""
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.emails)

  display_name = each.key
  type         = "email"
  labels       = { email_address = each.key }
}

resource "google_logging_metric" "counted" {
  for_each = local.counted

  name   = "maskline_${each.key}"
  filter = "resource.type=\"cloud_run_revision\" AND ${each.value}"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_logging_metric" "total" {
  name            = "maskline_total"
  description     = "From the queue to the mask"
  filter          = "resource.type=\"cloud_run_revision\" AND ${local.counted.committed}"
  value_extractor = "EXTRACT(jsonPayload.timings.total)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "ms"
  }

  bucket_options {
    exponential_buckets {
      growth_factor      = 1.5
      num_finite_buckets = 32 # 50 ms to 6 hours
      scale              = 50
    }
  }
}

resource "google_monitoring_custom_service" "this" {
  service_id   = "maskline"
  display_name = "Maskline"
}

resource "google_monitoring_slo" "fast" {
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "fast"
  display_name        = "Masks within ${var.slow_seconds} s"
  goal                = 0.95
  rolling_period_days = 28

  request_based_sli {
    distribution_cut {
      distribution_filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.total.name}\" AND resource.type=\"cloud_run_revision\""
      range {
        min = 0
        max = var.slow_seconds * 1000
      }
    }
  }
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode({
    displayName = "Maskline"
    mosaicLayout = {
      columns = 12
      tiles = [
        for index, title in keys(local.charts) : {
          xPos = index % 2 * 6, yPos = floor(index / 2) * 4, width = 6, height = 4
          widget = {
            title = title
            xyChart = {
              dataSets = [
                for query in local.charts[title] : { plotType = "LINE", timeSeriesQuery = { prometheusQuery = query } }
              ]
            }
          }
        }
      ]
    }
  })
}

output "channels" { value = [for channel in google_monitoring_notification_channel.email : channel.id] }
