# A product: its own domain answered in two regions, alerts, a budget, warm in business hours, deployed from GitHub.
project           = "my-maskline"
region            = "europe-west4"
regions           = ["us-east4"]
domain            = "api.example.com"
origins           = ["https://www.example.com"]
alert_emails      = ["ops@example.com"]
billing_account   = "000000-000000-000000"
budget            = 500
peak_images_per_s = 200
prewarm           = true
time_zone         = "Europe/Amsterdam"
github            = { owner = "example", name = "maskline" }
