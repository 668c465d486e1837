"""`maskline doctor` on a project that is not as it should be: each fault has its cause and the next step."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

from cli import cloud
from cli.findings import Finding
from shared.adapters.google.documents import FirestoreDocuments
from shared.adapters.google.objects import CloudStorageObjects
from shared.adapters.google.quotas import CloudRunQuotas
from shared.adapters.google.services import CloudRunServices
from shared.adapters.google.signing import IamSigning
from shared.adapters.google.topics import PubSubTopics
from shared.events import SegmentRequested
from shared.runtime import Runtime
from shared.settings import Settings
from tests.integration.fake_google import PROJECT, QUOTA, REGION, Google, problem, status

FIRESTORE = "google.firestore.v1.Firestore"
PUBSUB = "google.pubsub.v1.Publisher"
RUN = "google.cloud.run.v2.Services"
UPLOADS = "/storage/v1/b/my-maskline-uploads/"


def examine(google: Google, **settings: Any) -> dict[str, Finding]:
    chosen = Settings.from_env({}, **({"profile": "gcp", "project": PROJECT, "region": REGION} | settings))
    topics = PubSubTopics(PROJECT, google.grpc_host)
    documents = FirestoreDocuments(PROJECT, google.grpc_host)
    objects = CloudStorageObjects(PROJECT, IamSigning(AnonymousCredentials), google.url)
    services = CloudRunServices(PROJECT, chosen.region, google.grpc_host)
    quotas = CloudRunQuotas(PROJECT, AnonymousCredentials, google.url)
    try:
        found = list(cloud.examined(Runtime(chosen, documents, objects, topics, services), topics, quotas))
    finally:
        for client in (topics, documents, objects, services):
            client.close()
    return {finding.check: finding for finding in found}


def test_a_project_as_it_should_be(google: Google) -> None:
    found = examine(google)
    assert {name for name, finding in found.items() if not finding.ok} == set()
    assert set(found) == {
        "documents",
        "uploads",
        "results",
        "queue",
        "service",
        "region",
        "gpus",
        "messages",
        "instances",
    }
    assert found["gpus"].message == "3 L4 GPUs may be used in europe-west4"


NOT_USED = (
    "The API has not been used in project 123456789 before or it is disabled. Enable it by visiting"
    " https://console.developers.google.com/apis/api/x/overview?project=123456789 then retry."
)


def off(service: str) -> Any:
    return status("PERMISSION_DENIED", NOT_USED, "SERVICE_DISABLED", service=service)


NO_PROJECT = "Requested project not found or user does not have access to it (project=my-maskline)."
DENIED = "Permission '{0}' denied on resource '//x' (or it may not exist)."
REFUSALS = [  # who refuses, how, the check that says so, its cause, its next step
    (
        FIRESTORE,
        status("PERMISSION_DENIED", "Permission denied on resource project my-maskline.", "CONSUMER_INVALID"),
        ("documents", "'my-maskline' does not exist", "MASKLINE_PROJECT"),
    ),
    (PUBSUB, status("NOT_FOUND", NO_PROJECT), ("queue", "'my-maskline' does not exist", "gcloud projects list")),
    (
        FIRESTORE,
        status("PERMISSION_DENIED", "Missing or insufficient permissions."),
        ("documents", "may not do that", "identities.tf"),
    ),
    (
        RUN,
        status("PERMISSION_DENIED", DENIED, "IAM_PERMISSION_DENIED", permission="run.services.get"),
        ("service", "run.services.get", "identities.tf"),
    ),
    (
        UPLOADS,
        problem(403, "a@b.iam.gserviceaccount.com does not have storage.objects.list access to the bucket."),
        ("uploads", "storage.objects.list", "identities.tf"),
    ),
    (
        QUOTA,
        problem(403, DENIED, "IAM_PERMISSION_DENIED", permission="cloudquotas.quotas.get"),
        ("gpus", "cloudquotas.quotas.get", "identities.tf"),
    ),
    (
        FIRESTORE,
        off("firestore.googleapis.com"),
        ("documents", "firestore.googleapis.com is not enabled", "gcloud services enable firestore.googleapis.com"),
    ),
    (
        RUN,
        off("run.googleapis.com"),
        ("service", "run.googleapis.com is not enabled", "--project=my-maskline"),
    ),
    (
        QUOTA,
        problem(403, NOT_USED, "SERVICE_DISABLED", service="cloudquotas.googleapis.com"),
        ("gpus", "cloudquotas.googleapis.com is not enabled", "gcloud services enable cloudquotas.googleapis.com"),
    ),
    (
        FIRESTORE,
        status("NOT_FOUND", "The database (default) does not exist for project my-maskline"),
        ("documents", "Firestore database does not exist", "terraform apply"),
    ),
    (UPLOADS, problem(404, "The specified bucket does not exist."), ("uploads", "does not exist", "terraform apply")),
    (PUBSUB, status("NOT_FOUND", "Resource not found (resource=uploads)."), ("queue", "not exist", "terraform apply")),
    (
        RUN,
        status("FAILED_PRECONDITION", "You do not have quota for using GPUs without zonal redundancy."),
        ("service", "no quota for L4 GPUs", "quota page"),
    ),
]


@pytest.mark.parametrize(("who", "answer", "said"), REFUSALS, ids=[f"{said[0]}: {said[1]}" for *_, said in REFUSALS])
def test_a_refusal_has_its_cause_and_the_next_step(
    google: Google, who: str, answer: Any, said: tuple[str, str, str]
) -> None:
    google.refused[who] = answer
    check, cause, step = said
    found = examine(google)
    assert not found[check].ok
    assert cause in found[check].message
    assert step in found[check].next
    others = {name for name, finding in found.items() if not finding.ok} - {check}
    assert others <= {"results"}


@pytest.mark.parametrize(
    ("value", "cause"), [(None, "L4 GPUs in europe-west4 is 0"), ("1", "the quota is 1 L4 GPUs, but 3 instances")]
)
def test_too_little_quota_is_said_with_where_to_ask_for_more(google: Google, value: str | None, cause: str) -> None:
    google.quota[0]["details"] = {} if value is None else {"value": value}
    found = examine(google)["gpus"]
    assert not found.ok
    assert cause in found.message
    assert "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion" in found.next


def test_a_region_goes_by_its_own_quota_or_that_of_all_others(google: Google) -> None:
    assert "is 0" in examine(google, region="us-central1")["gpus"].message
    google.quota = [{"details": {"value": "-1"}, "applicableLocations": [REGION]}]
    assert examine(google)["gpus"].message == "any number of L4 GPUs may be used in europe-west4"


def test_a_region_without_l4_is_said_with_those_that_have_them(google: Google) -> None:
    found = examine(google, region="europe-north1")
    assert (found["region"].ok, found["gpus"].ok) == (False, False)
    assert "no L4 GPUs in europe-north1" in found["region"].message
    assert "europe-west4" in found["region"].next


def test_terraform_knows_the_same_regions() -> None:
    text = (Path(__file__).parents[2] / "terraform/variables.tf").read_text("utf-8")
    [listed] = re.findall(r"contains\(\[(.*)\], var.region\)", text)
    assert tuple(json.loads(f"[{listed}]")) == cloud.L4_REGIONS


def test_a_queue_that_instances_of_an_older_release_read(google: Google) -> None:
    google.documents["instances"] = [{"state": "ready", "heartbeatTime": datetime.now(UTC), "schemaVersion": "0"}]
    google.documents["predictions"] = [{"state": "QUEUED", "publishTime": datetime.now(UTC)}]
    found = examine(google)["messages"]
    assert not found.ok
    assert f"schema 0, this release writes {SegmentRequested.SCHEMA_VERSION}" in found.message
    assert "photos wait" in found.message
    assert "container before the functions" in found.next


def test_instances_that_are_gone_read_nothing(google: Google) -> None:
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    google.documents["instances"] = [{"state": "ready", "heartbeatTime": hour_ago, "schemaVersion": "0"}]
    google.documents["predictions"] = [{"state": "QUEUED", "publishTime": hour_ago}]
    found = examine(google)
    assert (found["messages"].ok, found["instances"].ok) == (True, False)
    assert "no instance is awake" in found["instances"].message
