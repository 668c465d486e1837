# What a person may get wrong is refused before anything is planned, and what is optional is really off.
mock_provider "google" {}

variables {
  project = "my-maskline"
}

run "everything_by_default" {
  command = plan

  assert {
    condition     = length(module.edge) == 0 && length(module.builds) == 0 && length(google_billing_budget.this) == 0
    error_message = "What costs or needs somebody else must be asked for."
  }

  assert {
    condition     = google_cloud_scheduler_job.this["prewarm-open"].paused && !google_cloud_scheduler_job.this["sweep"].paused
    error_message = "Only the sweep runs by itself."
  }
}

run "one_quota" {
  command = plan

  variables {
    gpu_quota = 1
  }

  assert {
    condition     = local.environment["MASKLINE_MAX_INSTANCES"] == "1"
    error_message = "There are never more instances than GPUs."
  }
}

run "a_peak" {
  command = plan

  variables {
    peak_images_per_s = 500
    gpu_quota         = 8
  }

  assert {
    condition     = local.environment["MASKLINE_MAX_INSTANCES"] == "5"
    error_message = "As many instances as a peak needs."
  }
}

run "a_peak_beyond_the_quota" {
  command = plan

  variables {
    peak_images_per_s = 10000
  }

  assert {
    condition     = local.environment["MASKLINE_MAX_INSTANCES"] == "3"
    error_message = "There are never more instances than GPUs."
  }
}

run "a_peak_below_nothing" {
  command = plan

  variables {
    peak_images_per_s = -1
  }

  expect_failures = [var.peak_images_per_s]
}

run "own_settings" {
  command = plan

  variables {
    settings = { LOG_LEVEL = "DEBUG", MAX_CLAIMS = "5" }
  }

  assert {
    condition     = local.environment["MASKLINE_LOG_LEVEL"] == "DEBUG" && local.environment["MASKLINE_LEASE_SECONDS"] == "150"
    error_message = "Further settings are added to those that the infrastructure decides."
  }
}

run "several_regions" {
  command = plan

  variables {
    domain  = "api.example.com"
    regions = ["us-east4"]
  }

  assert {
    condition     = toset(keys(module.function)) == toset(["accept", "api", "api-us-east4", "prewarm", "settle"])
    error_message = "Only the API is deployed to further regions."
  }
}

run "no_quota" {
  command = plan

  variables {
    gpu_quota = 0
  }

  expect_failures = [var.gpu_quota]
}

run "region_without_gpus" {
  command = plan

  variables {
    region = "europe-north1"
  }

  expect_failures = [var.region]
}

run "regions_without_a_domain" {
  command = plan

  variables {
    regions = ["us-east4"]
  }

  expect_failures = [var.regions]
}

run "not_a_project" {
  command = plan

  variables {
    project = "My Project"
  }

  expect_failures = [var.project]
}

run "bundles_not_made" {
  command = plan

  variables {
    bundles = "../build/nothing"
  }

  expect_failures = [var.bundles]
}
