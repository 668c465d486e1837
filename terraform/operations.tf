# What watches the system, and what it costs.
locals {
  runbook = var.github == null ? "docs/runbook.md" : "https://github.com/${var.github.owner}/${var.github.name}/blob/main/docs/runbook.md"
}

module "monitoring" {
  source = "./modules/monitoring"

  emails       = var.alert_emails
  runbook      = local.runbook
  gpu_service  = module.segment.name
  instances    = local.gpu_instances
  patience     = 600 # s in which a message should have been taken, cold start included
  slow_seconds = 60

  depends_on = [google_project_service.this]
}

# It tells, it does not cap: the number of instances does.
resource "google_billing_budget" "this" {
  count = var.billing_account == "" ? 0 : 1

  billing_account = var.billing_account
  display_name    = "Maskline"

  budget_filter {
    projects = ["projects/${local.project_number}"]
  }

  amount {
    specified_amount {
      units = tostring(var.budget)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]
    content {
      threshold_percent = threshold_rules.value
    }
  }

  dynamic "all_updates_rule" {
    for_each = length(var.alert_emails) == 0 ? [] : [module.monitoring.channels]
    content {
      monitoring_notification_channels = all_updates_rule.value
    }
  }

  depends_on = [google_project_service.this]
}
