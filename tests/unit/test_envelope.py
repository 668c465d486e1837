"""Push envelopes and segment messages survive the round trip; anything else is refused, never raised through."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import envelope
from shared.envelope import Push
from shared.errors import Malformed
from shared.events import SegmentRequested, Uploaded

TEXT = st.text(max_size=50)


@given(st.binary(max_size=200), st.dictionaries(TEXT, TEXT, max_size=5), st.integers(1, 100))
def test_a_push_reads_back_as_it_was_sent(data: bytes, attributes: dict[str, str], attempt: int) -> None:
    push = Push(data, attributes, "17", "projects/p/subscriptions/s", attempt)
    assert envelope.decode(envelope.encode(push, "2026-11-23T12:00:00Z")) == push


@given(st.binary(max_size=200))
def test_noise_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        envelope.decode(body)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"message": null}',
        '{"message": {"data": "&"}}',
        '{"message": {"attributes": {"a": 1}}}',
        '{"message": {"attributes": []  , "data": 5}}',
        '{"message": {}, "deliveryAttempt": "x"}',
        '{"message": {}, "deliveryAttempt": Infinity}',
        "[" * 100_000,
    ],
)
def test_every_odd_body_is_malformed(body: str) -> None:
    with pytest.raises(Malformed):
        envelope.decode(body.encode())


def test_a_notification_without_data_is_read_from_its_attributes() -> None:
    attributes = {"bucketId": "uploads", "objectId": "a.jpg", "objectGeneration": "17"}
    assert Uploaded.from_message(b"", attributes) == Uploaded("uploads", "a.jpg", 17)


@given(TEXT, TEXT, st.integers(0, 2**63 - 1), st.datetimes(timezones=st.just(UTC)))
def test_a_segment_message_reads_back(bucket: str, name: str, generation: int, deadline: datetime) -> None:
    event = SegmentRequested("p1", bucket, name, generation, "stable", "bulk", deadline, "00-a-b-01")
    assert SegmentRequested.from_message(*event.to_message()) == event


def test_a_message_of_an_unknown_schema_is_refused_by_name() -> None:
    event = SegmentRequested("p1", "b", "n", 1, "stable", "bulk", datetime(2026, 1, 1, tzinfo=UTC))
    data, attributes = event.to_message()
    with pytest.raises(Malformed, match="'99'"):
        SegmentRequested.from_message(data, attributes | {"schemaVersion": "99"})
    with pytest.raises(Malformed):
        SegmentRequested.from_message(json.dumps([1]).encode(), attributes)
