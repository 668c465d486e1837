"""The golden samples: what we send equals them byte for byte, what we read may be newer, the reference tells all."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared import envelope
from shared.errors import Malformed
from shared.events import SegmentRequested, Uploaded
from tests.events import EVENTS, golden, golden_bytes

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs/reference/events.md"
REQUESTED = SegmentRequested(
    prediction_id="pabcdefghijklmnopqrstuvwxy",
    bucket="uploads",
    object="users/ana/cat.jpg",
    generation=1795608000123456,
    arm="stable",
    lane="interactive",
    deadline=datetime(2026, 11, 25, 12, 15, tzinfo=UTC),
    trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    user="24d4b96f58da6d4a8512313bbd02a28e",
)


def message(sample: str) -> tuple[bytes, dict[str, str]]:
    push = envelope.decode(golden_bytes(sample))
    return push.data, dict(push.attributes)


def test_a_segment_message_is_written_as_its_sample() -> None:
    sample = golden("segment-requested.v1.message")
    assert REQUESTED.to_message() == (sample["data"].encode(), sample["attributes"])


def test_a_push_envelope_is_written_as_its_sample() -> None:
    sample = golden_bytes("segment-requested.v1.push")
    push = envelope.decode(sample)
    assert envelope.encode(push, golden("segment-requested.v1.push")["message"]["publishTime"]) == sample


@pytest.mark.parametrize("sample", ["segment-requested.v1.push", "segment-requested.v1.dead.push"])
def test_a_segment_message_is_read_from_its_sample(sample: str) -> None:
    assert SegmentRequested.from_message(*message(sample)) == REQUESTED


def test_cloud_storages_notification_is_read_from_its_sample() -> None:
    assert Uploaded.from_message(*message("uploaded.push")) == Uploaded(
        "uploads", "users/ana/cat.jpg", 1795608000123456
    )


def test_unknown_fields_of_a_newer_sender_are_ignored() -> None:
    data, attributes = message("segment-requested.v1.push")
    newer = json.dumps(json.loads(data) | {"colour": "red"}).encode()
    assert SegmentRequested.from_message(newer, attributes | {"colour": "red"}) == REQUESTED
    body = golden("uploaded.push")
    body["message"]["attributes"]["colour"] = "red"
    body |= {"colour": "red"}
    push = envelope.from_json(body)
    assert Uploaded.from_message(push.data, push.attributes).object == "users/ana/cat.jpg"


@pytest.mark.parametrize("version", ["0", "2", "1.0", ""])
def test_unknown_versions_are_refused(version: str) -> None:
    data, attributes = message("segment-requested.v1.push")
    with pytest.raises(Malformed, match=re.escape(repr(version))):
        SegmentRequested.from_message(data, attributes | {"schemaVersion": version})


def test_every_missing_field_is_malformed_but_the_trace() -> None:
    data, attributes = message("segment-requested.v1.push")
    body = json.loads(data)
    for name in body:
        less = json.dumps({key: value for key, value in body.items() if key != name}).encode()
        with pytest.raises(Malformed):
            SegmentRequested.from_message(less, attributes)
    needed = ("schemaVersion", "arm", "lane", "deadline")
    for name in needed:
        with pytest.raises(Malformed):
            SegmentRequested.from_message(data, {key: value for key, value in attributes.items() if key != name})
    assert SegmentRequested.from_message(data, {key: attributes[key] for key in needed}).trace == ""


@pytest.mark.parametrize("name", ["bucketId", "objectId", "objectGeneration"])
def test_a_notification_without_a_name_is_malformed(name: str) -> None:
    data, attributes = message("uploaded.push")
    with pytest.raises(Malformed):
        Uploaded.from_message(data, {key: value for key, value in attributes.items() if key != name})


# -- the reference


def sections() -> dict[str, str]:
    """Title → text of the events' sections."""
    parts = re.split(r"^## (.+)$", REFERENCE.read_text("utf-8"), flags=re.M)
    named = zip(parts[1::2], parts[2::2], strict=True)
    return {title: text for title, text in named if "Idempotency key" in text}


def fields(sample: Any) -> set[str]:
    found = {f"attributes.{name}" for name in sample["attributes"]}
    if "schemaVersion" in sample["attributes"]:
        found |= {f"data.{name}" for name in json.loads(sample["data"])}
    return found


@pytest.mark.parametrize(
    ("title", "sample"),
    [
        ("Uploaded", golden("uploaded.push")["message"]),
        ("SegmentRequested, version 1", golden("segment-requested.v1.message")),
        ("Tick", golden("tick.push")["message"]),
        ("Prewarm", golden("prewarm.push")["message"]),
    ],
)
def test_the_reference_lists_exactly_the_samples_fields(title: str, sample: Any) -> None:
    assert set(re.findall(r"^\| `([\w.]+)` \|", sections()[title], re.M)) == fields(sample)


def test_the_reference_links_every_sample_and_knows_every_version() -> None:
    text = REFERENCE.read_text("utf-8")
    assert set(re.findall(r"data/events/([\w.-]+\.json)", text)) == {path.name for path in EVENTS.iterdir()}
    assert set(re.findall(r"^## SegmentRequested, version (\S+)$", text, re.M)) == {SegmentRequested.SCHEMA_VERSION}
