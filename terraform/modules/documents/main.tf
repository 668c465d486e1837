# The project's default Firestore database: the one with a free quota.
variable "project" { type = string }
variable "location" { type = string }

variable "rules" {
  description = "Text of the security rules, for clients that are not ours."
  type        = string
}

variable "indexes" {
  description = "collection → indexes, each the fields in order, a minus before a field that descends"
  type        = map(list(list(string)))
}

variable "expiring" {
  description = "collection → the field that says when a document is deleted, and whether anybody asks by it"
  type        = map(object({ field = string, indexed = bool }))
}

variable "unindexed" {
  description = "collection → the field that no index holds"
  type        = map(string)
}

variable "deletion_protection" { type = bool }

locals {
  indexes = merge([
    for collection, rows in var.indexes :
    { for fields in rows : join(" ", concat([collection], fields)) => { collection = collection, fields = fields } }
  ]...)
}

resource "google_firestore_database" "this" {
  name                    = "(default)"
  location_id             = var.location
  type                    = "FIRESTORE_NATIVE"
  delete_protection_state = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy         = var.deletion_protection ? "ABANDON" : "DELETE"
}

resource "google_firestore_index" "this" {
  for_each = local.indexes

  database   = google_firestore_database.this.name
  collection = each.value.collection

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path = trimprefix(fields.value, "-")
      order      = startswith(fields.value, "-") ? "DESCENDING" : "ASCENDING"
    }
  }
}

resource "google_firestore_field" "expiring" {
  for_each = var.expiring

  database   = google_firestore_database.this.name
  collection = each.key
  field      = each.value.field

  ttl_config {}

  # An index over times that only grow is a hot spot: none, unless it is used.
  dynamic "index_config" {
    for_each = each.value.indexed ? [] : [true]
    content {}
  }
}

resource "google_firestore_field" "unindexed" {
  for_each = var.unindexed

  database   = google_firestore_database.this.name
  collection = each.key
  field      = each.value

  index_config {}
}

resource "google_firebaserules_ruleset" "this" {
  source {
    files {
      name    = "firestore.rules"
      content = var.rules
    }
  }

  depends_on = [google_firestore_database.this]
}

resource "google_firebaserules_release" "this" {
  name         = "cloud.firestore"
  ruleset_name = "projects/${var.project}/rulesets/${google_firebaserules_ruleset.this.name}"

  lifecycle {
    replace_triggered_by = [google_firebaserules_ruleset.this]
  }
}
