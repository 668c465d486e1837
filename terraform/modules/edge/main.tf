# A domain in front of the API: global load balancer, managed certificate, and a limit for each address.
variable "domain" { type = string }
variable "requests_per_minute" { type = number }

variable "services" {
  description = "region → name of the service that answers there"
  type        = map(string)
}

resource "google_compute_global_address" "this" {
  name = "maskline"
}

# Another domain is another certificate, which must be there before the proxy lets go of the old one.
resource "google_compute_managed_ssl_certificate" "this" {
  name = "maskline-${substr(sha256(var.domain), 0, 8)}"

  managed {
    domains = [var.domain]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_region_network_endpoint_group" "this" {
  for_each = var.services

  name                  = "maskline-api"
  region                = each.key
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = each.value
  }
}

resource "google_compute_security_policy" "this" {
  name = "maskline"

  rule {
    priority    = 1000
    description = "An address that asks too much is told to wait."
    action      = "throttle"

    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    priority    = 2147483647
    description = "Every policy must end with a rule for the rest."
    action      = "allow"

    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}

resource "google_compute_backend_service" "this" {
  name                  = "maskline-api"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  security_policy       = google_compute_security_policy.this.id

  dynamic "backend" {
    for_each = google_compute_region_network_endpoint_group.this
    content {
      group = backend.value.id
    }
  }
}

resource "google_compute_url_map" "this" {
  name            = "maskline"
  default_service = google_compute_backend_service.this.id
}

resource "google_compute_target_https_proxy" "this" {
  name             = "maskline"
  url_map          = google_compute_url_map.this.id
  ssl_certificates = [google_compute_managed_ssl_certificate.this.id]
}

resource "google_compute_global_forwarding_rule" "this" {
  name                  = "maskline"
  target                = google_compute_target_https_proxy.this.id
  ip_address            = google_compute_global_address.this.id
  port_range            = "443"
  load_balancing_scheme = "EXTERNAL_MANAGED"
}

output "address" { value = google_compute_global_address.this.address }
