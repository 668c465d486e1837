# What this configuration needs: Terraform, one provider, and a bucket for its state (docs/how-to/deploy.md makes it).
terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 8.0" # only what both ends of the range know is used
    }
  }

  backend "gcs" {
    prefix = "maskline"
  }
}

provider "google" {
  project = var.project
  region  = var.region

  default_labels = { app = "maskline" }
}
