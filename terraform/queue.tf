# Topics, push subscriptions and schedules, as pipeline.yaml has them.
locals {
  publishers = {
    uploads = ["storage-agent"]
    segment = ["accept", "settle", "segment"]
  }
  endpoints = merge(
    { for name, stage in local.functions : name => module.function[name].url },
    { segment = module.segment.url },
  )
}

module "topic" {
  source   = "./modules/topic"
  for_each = local.pipeline.topics

  name       = each.key
  retention  = each.value.retention
  parked     = !contains(local.read_topics, each.key)
  publishers = concat(lookup(local.publishers, each.key, []), contains(local.dead_topics, each.key) ? ["pubsub-agent"] : [])
  members    = local.members

  depends_on = [google_project_service.this]
}

module "subscription" {
  source   = "./modules/subscription"
  for_each = local.subscriptions

  name                  = each.key
  topic                 = module.topic[each.value.topic].id
  endpoint              = local.endpoints[each.value.stage]
  path                  = each.value.path
  filter                = each.value.filter
  ack_deadline          = each.value.ack_deadline
  retention             = local.pipeline.topics[each.value.topic].retention
  retry_min             = local.timings.retry_min
  retry_max             = local.timings.retry_max
  dead_letter_topic     = module.topic[each.value.dead_letter].id
  max_delivery_attempts = each.value.max_delivery_attempts
  identity              = google_service_account.this["push"].email
  agent                 = local.pubsub_agent
}

resource "google_cloud_scheduler_job" "this" {
  for_each = local.pipeline.schedules

  name      = each.key
  region    = var.region
  schedule  = each.value.cron
  time_zone = var.time_zone
  paused    = each.value.topic == "prewarm" && !var.prewarm

  pubsub_target {
    topic_name = module.topic[each.value.topic].id
    data       = base64encode("{}")
    attributes = merge({ schedule = each.key }, try(each.value.attributes, {}))
  }

  depends_on = [google_project_service.this]
}
