# The wiring: pipeline.yaml, with the cloud's timings filled in.
locals {
  pipeline  = yamldecode(file("${path.module}/../pipeline.yaml"))
  timings   = local.pipeline.timings.gcp
  functions = { for name, stage in local.pipeline.stages : name => stage if stage.runtime == "function" }
  segment   = local.pipeline.stages.segment

  subscriptions = {
    for name, row in local.pipeline.subscriptions : name => merge(row, {
      filter       = try(row.filter, "")
      ack_deadline = try(local.timings[row.ack_deadline], row.ack_deadline)
    })
  }
  read_topics = toset(values(local.subscriptions)[*].topic)
  dead_topics = toset(values(local.subscriptions)[*].dead_letter)

  # Every component gets the same settings: those that the infrastructure decides.
  settings = merge({
    PROFILE              = "gcp"
    PROJECT              = var.project
    REGION               = var.region
    URL                  = local.url
    UPLOADS_BUCKET       = "${var.project}-uploads"
    RESULTS_BUCKET       = "${var.project}-results"
    LEASE_SECONDS        = local.timings.lease
    WORK_BUDGET_SECONDS  = local.timings.work_budget
    ACK_DEADLINE_SECONDS = local.timings.ack_deadline
    SWEEP_SECONDS        = local.timings.sweep
    RETENTION_SECONDS    = var.retention_days * 86400
    MAX_INSTANCES        = local.gpu_instances
    MAX_BATCH            = var.max_batch
    MODEL                = var.model
    PUSH_IDENTITY        = "maskline-push@${var.project}.iam.gserviceaccount.com" # known before it is made
  }, var.settings)
  environment = { for name, value in local.settings : "MASKLINE_${name}" => tostring(value) if value != "" }

  # A service knows its own address only by this form: the other one exists after it was made.
  url = var.domain == "" ? "https://api-${local.project_number}.${var.region}.run.app" : "https://${var.domain}"
}
