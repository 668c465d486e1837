# Where

variable "project" {
  description = "The project's id; Maskline wants one of its own."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project id has 6 to 30 lower-case letters, digits and hyphens: `gcloud projects list` shows yours."
  }
}

variable "region" {
  description = "Home of everything; its GPUs are L4."
  type        = string
  default     = "europe-west4"

  validation {
    condition     = contains(["asia-southeast1", "europe-west1", "europe-west4", "us-east4", "us-central1", "asia-south1"], var.region)
    error_message = "Cloud Run has L4 GPUs in asia-southeast1, europe-west1, europe-west4 and us-east4, and by invitation in us-central1 and asia-south1. Choose one; if Google has added yours, add it here."
  }
}

variable "regions" {
  description = "Further regions that answer the API; requests reach the nearest one through the domain."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.regions) == 0 || var.domain != ""
    error_message = "Several regions need a `domain`: only its load balancer can choose between them."
  }
}

variable "firestore_location" {
  description = "Where documents are kept, for ever; empty: the region."
  type        = string
  default     = ""
}

variable "domain" {
  description = "The API's domain; empty: no load balancer, no Cloud Armor, no fixed cost."
  type        = string
  default     = ""
}

variable "origins" {
  description = "Web origins that may upload photos and show masks."
  type        = list(string)
  default     = []
}

# What runs

variable "image" {
  description = "Image of the jobs, and the service's first one: from then on the rollout chooses. Cloud Build passes it."
  type        = string
  default     = "us-docker.pkg.dev/cloudrun/container/hello"
}

variable "bundles" {
  description = "Folder with the functions' bundles and their index."
  type        = string
  default     = "../build/functions"

  validation {
    condition     = fileexists("${var.bundles}/bundles.json")
    error_message = "There are no bundles yet: run `python -m deploy.bundle` in the repository's root first."
  }
}

variable "gpu_quota" {
  description = "L4 GPUs without zonal redundancy that the project may use in the region."
  type        = number
  default     = 3

  validation {
    condition     = var.gpu_quota >= 1
    error_message = "Without L4 quota nothing can be segmented: ask for NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion on the console's quota page; a free-trial account must be upgraded first."
  }
}

variable "peak_images_per_s" {
  description = "Photos a second that must not wait: as many instances as they need, within the quota; 0: as in pipeline.yaml."
  type        = number
  default     = 0

  validation {
    condition     = var.peak_images_per_s >= 0
    error_message = "`peak_images_per_s` cannot be negative."
  }
}

variable "max_batch" {
  description = "Photos in one forward pass at most; an instance takes six times as many requests."
  type        = number
  default     = 8

  validation {
    condition     = var.max_batch >= 1 && var.max_batch <= 166
    error_message = "`max_batch` must be 1 to 166: an instance takes six times as many requests, and Cloud Run gives it 1000 at most."
  }
}

variable "model" {
  description = "Folder of a model bundle in the models bucket; empty: the starter model in the image."
  type        = string
  default     = ""
}

variable "retention_days" {
  description = "Photos, records and masks are deleted after so many days."
  type        = number
  default     = 30
}

variable "settings" {
  description = "Further settings of docs/reference/settings.md, by name without MASKLINE_."
  type        = map(string)
  default     = {}
}

variable "prewarm" {
  description = "Keep one GPU instance warm in business hours; it costs as much as one that works."
  type        = bool
  default     = false
}

variable "time_zone" {
  description = "Of the schedules."
  type        = string
  default     = "Etc/UTC"
}

# Who watches, who deploys

variable "alert_emails" {
  description = "Who is told when an alert fires."
  type        = list(string)
  default     = []
}

variable "billing_account" {
  description = "Account that the budget watches; empty: no budget."
  type        = string
  default     = ""
}

variable "budget" {
  description = "Spending in a month, in the account's currency, that is worth an e-mail."
  type        = number
  default     = 50
}

variable "requests_per_minute" {
  description = "What Cloud Armor lets one address ask of the domain."
  type        = number
  default     = 600
}

variable "github" {
  description = "Repository whose main branch is deployed; null: nobody deploys but you."
  type        = object({ owner = string, name = string, approval = optional(bool, true) })
  default     = null
}

variable "deletion_protection" {
  description = "Refuse to delete services, documents and buckets that hold something."
  type        = bool
  default     = true
}
