# Alerts that mean something: each is an anchor in the runbook. Queries are PromQL, which no schema can check.
locals {
  run = "monitored_resource=\"cloud_run_revision\""
  sub = "monitored_resource=\"pubsub_subscription\""
  gpu = "${local.run},service_name=\"${var.gpu_service}\""

  requests  = "sum by (service_name) (rate(run_googleapis_com:request_count{${local.run}}[5m]))"
  errors    = "sum by (service_name) (rate(run_googleapis_com:request_count{${local.run},response_code_class=\"5xx\"}[5m]))"
  instances = "sum(run_googleapis_com:container_instance_count{${local.gpu},state=\"active\"})"
  oldest    = "max by (subscription_id) (pubsub_googleapis_com:subscription_oldest_unacked_message_age{${local.sub}})"
  dead      = "sum by (subscription_id) (increase(pubsub_googleapis_com:subscription_dead_letter_message_count{${local.sub}}[10m]))"
  parked    = "max by (subscription_id) (pubsub_googleapis_com:subscription_num_undelivered_messages{${local.sub},subscription_id=~\".*-parked\"})"
  queued    = "sum(increase(logging_googleapis_com:user_maskline_queued{${local.run}}[30m]))"
  committed = "sum(increase(logging_googleapis_com:user_maskline_committed{${local.run}}[30m]))"

  # anchor → what is wrong, for how many seconds it must last
  alerts = {
    dead-letters = {
      summary = "Messages ended as dead letters.", severity = "WARNING", duration = 0
      query   = "${local.dead} > 0 or ${local.parked} > 0"
    }
    oldest-message = {
      summary = "A message has not been taken for ${var.patience} s.", severity = "ERROR", duration = 300
      query   = "${local.oldest} > ${var.patience}"
    }
    server-errors = {
      summary = "More than 5 of 100 requests fail.", severity = "ERROR", duration = 300
      query   = "${local.errors} / ${local.requests} > 0.05"
    }
    gpu-saturation = {
      summary = "All ${var.instances} GPU instances have been busy for 15 minutes.", severity = "WARNING", duration = 900
      query   = "${local.instances} >= ${var.instances}"
    }
    no-success = {
      summary = "Photos arrive and no mask is made.", severity = "CRITICAL", duration = 300
      query   = "${local.queued} > 0 unless ${local.committed} > 0"
    }
  }

  memory = "histogram_quantile(0.95, sum by (le) (rate(run_googleapis_com:container_gpu_memory_utilizations_bucket{${local.gpu}}[5m])))"
  slow   = "histogram_quantile(0.95, sum by (le) (rate(logging_googleapis_com:user_maskline_total_bucket{${local.run}}[10m])))"

  # title → its lines
  charts = {
    "Photos queued, masks made (30 min)" = [local.queued, local.committed]
    "Time to mask, 95 of 100 (ms)"       = [local.slow]
    "Oldest message (s)"                 = [local.oldest]
    "Dead letters (10 min)"              = [local.dead]
    "GPU instances at work"              = [local.instances]
    "GPU memory, share in use"           = [local.memory]
    "Requests each second"               = [local.requests]
    "Errors each second"                 = [local.errors]
  }
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  display_name          = "Maskline: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  conditions {
    display_name = each.value.summary

    condition_prometheus_query_language {
      query                     = each.value.query
      duration                  = "${each.value.duration}s"
      evaluation_interval       = "60s"
      disable_metric_validation = true # a metric exists once it was written for the first time
    }
  }

  documentation {
    content   = "${each.value.summary}\n\nWhat it means and what to do: ${var.runbook}#${each.key}"
    mime_type = "text/markdown"
  }

  # The metrics that a query names must exist before it.
  depends_on = [google_logging_metric.counted]
}

# At this pace a month's allowance of slow photos is used up in three days.
resource "google_monitoring_alert_policy" "slow_photos" {
  display_name          = "Maskline: slow-photos"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  conditions {
    display_name = "Too many photos take longer than ${var.slow_seconds} s."

    condition_threshold {
      filter          = "select_slo_burn_rate(\"${google_monitoring_slo.fast.name}\", \"3600s\")"
      comparison      = "COMPARISON_GT"
      threshold_value = 10
      duration        = "0s"
    }
  }

  documentation {
    content   = "Too many photos take longer than ${var.slow_seconds} s.\n\nWhat it means and what to do: ${var.runbook}#slow-photos"
    mime_type = "text/markdown"
  }
}
