# Firestore: the one database, what it is asked for, and what the phones may read.
module "documents" {
  source = "./modules/documents"

  project             = var.project
  location            = var.firestore_location == "" ? var.region : var.firestore_location
  rules               = file("${path.module}/../firestore.rules")
  deletion_protection = var.deletion_protection

  # What the sweep, the cache and the API list by; a minus orders from the last to the first.
  indexes = {
    predictions = [
      ["state", "leaseExpireTime"],
      ["state", "publishTime"],
      ["state", "deadline"],
      ["ownerUid", "createTime"],
      ["ownerUid", "deleted", "-createTime"],
      ["ownerUid", "deleted", "state", "-createTime"],
      ["ownerUid", "input.md5", "state"],
    ]
  }

  # `settle` deletes predictions first, with their objects, and asks for them by this field.
  expiring = {
    predictions = { field = "expireTime", indexed = true }
    instances   = { field = "expireTime", indexed = false }
  }

  # Up to 200 ids in one field that nobody asks by: without this, each would be in two indexes, at every write.
  unindexed = { quotas = "unfinished" }

  depends_on = [google_project_service.this]
}
