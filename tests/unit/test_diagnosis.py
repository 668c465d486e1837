"""`maskline doctor` on Google Cloud: from the services' own words to a cause and a next step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from google.api_core import exceptions as google
from google.auth import exceptions as auth
from google.rpc.error_details_pb2 import ErrorInfo

from cli.cloud import finding, message_schema, waiting
from shared.adapters.google.diagnosis import diagnose
from shared.adapters.google.errors import retried
from shared.errors import Misconfigured
from shared.events import SegmentRequested
from shared.ports import Document

NOW = datetime.now(UTC)


def info(reason: str, metadata: Mapping[str, str]) -> ErrorInfo:
    return ErrorInfo(reason=reason, domain="googleapis.com", metadata=metadata)


OFF = google.PermissionDenied(
    "Cloud Pub/Sub API has not been used in project 123 before or it is disabled.",
    error_info=info("SERVICE_DISABLED", {"service": "pubsub.googleapis.com", "consumer": "projects/123"}),
)
LACKS = google.PermissionDenied(
    "Permission 'run.services.get' denied on resource '//run.googleapis.com/…' (or resource may not exist).",
    error_info=info("IAM_PERMISSION_DENIED", {"permission": "run.services.get", "resource": "…"}),
)
LACKS_LISTING = google.Forbidden("a@b.iam.gserviceaccount.com does not have storage.objects.list access to the bucket.")
WRONG = google.PermissionDenied(
    "Permission denied on resource project nobody.", error_info=info("CONSUMER_INVALID", {})
)
WRONG_TOO = google.NotFound("Requested project not found or user does not have access to it (project=nobody).")


@pytest.mark.parametrize(
    ("error", "cause", "step"),
    [
        (auth.DefaultCredentialsError("no"), "no Google credentials", "gcloud auth application-default login"),
        (auth.RefreshError("invalid_grant"), "expired or were revoked", "gcloud auth application-default login"),
        (WRONG, "'mine' does not exist", "MASKLINE_PROJECT"),
        (WRONG_TOO, "'mine' does not exist", "MASKLINE_PROJECT"),
        (OFF, "pubsub.googleapis.com is not enabled", "gcloud services enable pubsub.googleapis.com --project=mine"),
        (LACKS, "run.services.get", "identities.tf"),
        (LACKS_LISTING, "storage.objects.list", "identities.tf"),
        (google.Forbidden("Missing or insufficient permissions."), "may not do that", "identities.tf"),
        (google.NotFound("The database (default) does not exist for project mine"), "Firestore", "terraform apply"),
        (google.NotFound("The specified bucket does not exist."), "does not exist", "terraform apply"),
        (google.FailedPrecondition("The query requires an index."), "index", "terraform apply"),
        (google.ResourceExhausted("Quota exceeded"), "quota", "Quotas"),
        (google.ServiceUnavailable("connection refused"), "cannot be reached", "network"),
        (Misconfigured("a thing of ours"), "a thing of ours", "deploy.md"),
    ],
)
def test_an_error_has_a_cause_and_a_next_step(error: Exception, cause: str, step: str) -> None:
    found = diagnose(error, "mine")
    assert cause in found.cause
    assert step in found.step


def test_what_the_adapters_made_of_an_error_is_seen_through() -> None:
    def refused() -> str:
        return retried("Cloud Run", lambda: _raise(LACKS))

    found = finding("service", refused, "mine")
    assert (found.check, found.ok) == ("service", False)
    assert "run.services.get" in found.message


def _raise(error: Exception) -> str:
    raise error


def test_what_works_is_said() -> None:
    assert finding("documents", lambda: "Firestore answers", "mine").message == "Firestore answers"


def instance(seconds_ago: float, **data: str) -> Document:
    beat = NOW - timedelta(seconds=seconds_ago)
    return Document("instances/a", {"state": "ready", "heartbeatTime": beat, **data}, "1", beat, beat, NOW)


def test_instances_of_an_older_release_are_named_with_what_they_read() -> None:
    ours = SegmentRequested.SCHEMA_VERSION
    old = message_schema([instance(5, schemaVersion="0"), instance(5, schemaVersion=ours)], waiting=True)
    assert not old.ok
    assert "schema 0" in old.message
    assert "photos wait" in old.message
    assert "container before the functions" in old.next
    assert not message_schema([instance(5)], waiting=False).ok  # before instances said what they read


def test_instances_of_this_release_are_fine() -> None:
    assert message_schema([instance(5, schemaVersion=SegmentRequested.SCHEMA_VERSION)], waiting=True).ok
    assert message_schema([], waiting=True).ok


def test_photos_that_nobody_comes_for_are_said() -> None:
    late = waiting([], NOW - timedelta(minutes=7), NOW)
    assert not late.ok
    assert "photos wait since 7 minutes" in late.message
    assert "quota" in late.next
    assert waiting([instance(5)], NOW - timedelta(minutes=7), NOW).ok  # busy
    assert waiting([], NOW - timedelta(seconds=30), NOW).ok  # the first one is on its way
    assert waiting([], None, NOW).ok
