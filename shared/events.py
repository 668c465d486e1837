"""The messages that travel on topics, one frozen class each, with their JSON form.

Readers ignore unknown fields and accept every version listed in `docs/reference/events.md`; one golden sample per
event and version lies in `tests/data/events/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.errors import Malformed
from shared.paths import check_name

FINALIZED = "OBJECT_FINALIZE"


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Topic `uploads`: Cloud Storage's own notification (JSON_API_V1) that a generation was written."""

    bucket: str
    object: str
    generation: int

    @classmethod
    def from_message(cls, data: bytes, attributes: Mapping[str, str]) -> Uploaded:
        try:
            uploaded = cls(attributes["bucketId"], attributes["objectId"], int(attributes["objectGeneration"]))
        except (KeyError, ValueError):
            raise Malformed("not an upload notification") from None
        check_name(uploaded.object)
        if not 0 < uploaded.generation < 1 << 63:
            raise Malformed("no object has such a generation")
        return uploaded


@dataclass(frozen=True, slots=True)
class SegmentRequested:
    """Topic `segment`: one generation of one photo wants a mask. Carries references, never pixels."""

    prediction_id: str
    bucket: str
    object: str
    generation: int
    arm: str
    lane: str
    deadline: datetime
    trace: str = ""
    user: str = ""  # a digest: users take turns in the queue

    SCHEMA_VERSION = "1"

    def to_message(self) -> tuple[bytes, dict[str, str]]:
        body = {
            "predictionId": self.prediction_id,
            "bucket": self.bucket,
            "object": self.object,
            "generation": str(self.generation),  # 64 bits: a string survives JavaScript
        }
        attributes = {
            "schemaVersion": self.SCHEMA_VERSION,
            "predictionId": self.prediction_id,
            "arm": self.arm,
            "lane": self.lane,
            "deadline": self.deadline.isoformat(),
        }
        if self.trace:
            attributes["traceparent"] = self.trace
        if self.user:
            attributes["user"] = self.user
        return json.dumps(body, separators=(",", ":")).encode(), attributes

    @classmethod
    def from_message(cls, data: bytes, attributes: Mapping[str, str]) -> SegmentRequested:
        version = attributes.get("schemaVersion")
        if version != cls.SCHEMA_VERSION:
            raise Malformed(f"segment messages of schema {version!r} are not known here")
        try:
            body: Mapping[str, Any] = json.loads(data)
            return cls(
                prediction_id=str(body["predictionId"]),
                bucket=str(body["bucket"]),
                object=str(body["object"]),
                generation=int(body["generation"]),
                arm=attributes["arm"],
                lane=attributes["lane"],
                deadline=datetime.fromisoformat(attributes["deadline"]),
                trace=attributes.get("traceparent", ""),
                user=attributes.get("user", ""),
            )
        except (KeyError, ValueError, TypeError, OverflowError, RecursionError):
            raise Malformed("not a segment message") from None
