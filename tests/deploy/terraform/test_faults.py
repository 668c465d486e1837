"""Planted faults, one in each copy: what the checks are worth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.deploy.terraform.checks import complaints
from tests.deploy.terraform.conftest import PRODUCT
from tests.deploy.terraform.offline import Workspace

# file, what stands there, what is written instead, what must be said
INVALID = [
    (
        "modules/topic/main.tf",
        "topic  = google_pubsub_topic.this.name",
        "topik  = google_pubsub_topic.this.name",
        "Unsupported argument",
    ),
    ("modules/topic/main.tf", "name = var.name\n}", "}", "Missing required argument"),
    ("modules/topic/main.tf", "google_pubsub_topic.this.id }", "google_pubsub_topic.that.id }", "undeclared resource"),
    ("modules/gpu-service/main.tf", "INGRESS_TRAFFIC_ALL", "ALL", "Invalid value"),
    ("modules/subscription/main.tf", "oidc_token {", "oidc_tokens {", "Unsupported block type"),
    ("modules/gpu-service/main.tf", "template[0].revision,", "template[0].revisions,", "Unsupported attribute"),
    (
        "modules/gpu-job/main.tf",
        '"google_cloud_run_v2_job" "this"',
        '"google_cloud_run_job" "this"',
        "Invalid resource type",
    ),
    (
        "modules/function/main.tf",
        "min_instance_count               = 0",
        "uri = 0",
        "Value for unconfigurable attribute",
    ),
    ("modules/repository/main.tf", '= "DOCKER"', "= [1]", "Incorrect attribute value type"),
    ("queue.tf", "local.timings.retry_min", "local.timing.retry_min", "undeclared local value"),
]

UNSOUND = [
    (
        "modules/subscription/main.tf",
        "audience              = var.endpoint",
        'audience              = "maskline"',
        "segment-stable-bulk pushes without a token for its endpoint",
    ),
    ("modules/subscription/main.tf", 'ttl = ""', 'ttl = "2678400s"', "accept-uploads expires"),
    (
        "modules/subscription/main.tf",
        '"roles/pubsub.subscriber"',
        '"roles/pubsub.viewer"',
        "settle-sweep: its dead letters cannot be taken away",
    ),
    ("queue.tf", '? ["pubsub-agent"] : []', "? [] : []", "accept-uploads: its dead letters cannot be published"),
    ("queue.tf", "local.timings.retry_min", "0", "accept-uploads does not have the backoff of pipeline.yaml"),
    ("queue.tf", "= each.value.filter", '= ""', "segment-stable-bulk does not have the filter of pipeline.yaml"),
    (
        "modules/gpu-service/main.tf",
        "cpu_idle          = false",
        "cpu_idle          = true",
        "module.segment.google_cloud_run_v2_service.this is not billed by instance",
    ),
    (
        "modules/gpu-service/main.tf",
        "min_instance_count = 0",
        "min_instance_count = 1",
        "module.segment.google_cloud_run_v2_service.this does not start at zero",
    ),
    (
        "modules/gpu-job/main.tf",
        "gpu_zonal_redundancy_disabled = true",
        "gpu_zonal_redundancy_disabled = false",
        'module.job["train"].google_cloud_run_v2_job.this pays for zonal redundancy',
    ),
    (
        "inference.tf",
        "6 * var.max_batch",
        "8 * var.max_batch",
        "module.segment.google_cloud_run_v2_service.this gets another number of requests than an instance takes",
    ),
    (
        "inference.tf",
        "local.segment.timeout",
        "300",
        "segment is cut off before the ack deadline of segment-stable-bulk",
    ),
    (
        "pipeline.tf",
        "LEASE_SECONDS  ",
        "LEASE_SECS     ",
        'module.job["train"].google_cloud_run_v2_job.this: nobody reads MASKLINE_LEASE_SECS',
    ),
    (
        "identities.tf",
        '"roles/datastore.user"',
        '"roles/editor"',
        'google_project_iam_member.documents["api"] grants a basic role',
    ),
    (
        "identities.tf",
        '["accept", "api", "settle", "segment", "train"]',
        '["accept", "api", "settle", "segment", "train", "prewarm"]',
        "prewarm should not have datastore.user project",
    ),
    (
        "modules/function/main.tf",
        'var.public ? "allUsers"',
        '"settle" == var.name ? "allUsers"',
        'module.function["settle"].google_cloud_run_v2_service_iam_member.invoker is open to everybody',
    ),
    (
        "modules/bucket/main.tf",
        '"enforced"',
        '"inherited"',
        "module.uploads.google_storage_bucket.this could be made public",
    ),
    (
        "project.tf",
        "disable_on_destroy = false\n\n  depends_on",
        "disable_on_destroy = true\n\n  depends_on",
        'google_project_service.this["run"] would switch off the API',
    ),
    (
        "modules/monitoring/alerts.tf",
        "no-success = {",
        "no-luck = {",
        "no page of the runbook says what to do about no-luck",
    ),
]


@pytest.mark.parametrize(("file", "right", "wrong", "said"), INVALID, ids=[row[3] for row in INVALID])
def test_a_fault_against_the_schema_is_refused(
    fresh: Workspace, tmp_path: Path, file: str, right: str, wrong: str, said: str
) -> None:
    copy = _planted(fresh, tmp_path, file, right, wrong)
    found = json.loads(copy.terraform("validate", "-json").stdout)
    assert any(said in f"{one['summary']} {one.get('detail', '')}" for one in found["diagnostics"]), found[
        "diagnostics"
    ]


@pytest.mark.parametrize(("file", "right", "wrong", "said"), UNSOUND, ids=[row[3] for row in UNSOUND])
def test_a_fault_that_the_schema_allows_is_found(
    applied: Workspace, tmp_path: Path, file: str, right: str, wrong: str, said: str
) -> None:
    assert said in complaints(_planted(applied, tmp_path, file, right, wrong).plan(PRODUCT))


def _planted(good: Workspace, folder: Path, file: str, right: str, wrong: str) -> Workspace:
    copy = good.copy(folder / "copy")
    path = copy.folder / "terraform" / file
    text = path.read_text("utf-8")
    assert text.count(right) == 1, f"{file} holds {right!r} {text.count(right)} times"
    path.write_text(text.replace(right, wrong), "utf-8")
    return copy
