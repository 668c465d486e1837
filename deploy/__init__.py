"""From this repository to Google Cloud: bundles of the functions, golden photos for a candidate, the steps of
`cloudbuild.yaml`. Runs where somebody deploys, never in the cloud's own processes."""
