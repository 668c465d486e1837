"""What `POST /v1/predictions` may say, and the prediction that it makes. Pure: no ports, no clock."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared import ids
from shared.api.errors import InvalidFields
from shared.limits import MAX_BYTES
from shared.prediction import Lane, Phase, Prediction, State
from shared.results import OUTPUTS
from shared.settings import Settings

CONTENT_TYPES = ("image/jpeg", "image/png", "image/webp")
MAX_REQUEST_ID = 128  # characters
_FIELDS = ("contentType", "sizeBytes", "requestId", "lane", "outputs", "webhook")


@dataclass(frozen=True, slots=True)
class Announcement:
    """`size` in bytes, 0: not said."""

    content_type: str
    size: int
    request_id: str
    lane: Lane
    outputs: tuple[str, ...]

    @property
    def most_bytes(self) -> int:
        """What the upload may have at most."""
        return self.size or MAX_BYTES

    @property
    def recorded_request_id(self) -> str:
        """The request id with a digest of all that was asked for: accept replaces `input` by what it finds, and a
        request id that comes again with another announcement must still be noticed."""
        text = json.dumps([self.content_type, self.size, self.lane.value, list(self.outputs)])
        return f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {self.request_id}"


def read_announcement(body: Mapping[str, Any]) -> Announcement:
    """Raises `InvalidFields` naming every field that is unknown or wrong."""
    problems = {name: "unknown field" for name in body if name not in _FIELDS}
    outputs = body.get("outputs", [])
    checks = (
        ("contentType", body.get("contentType") in CONTENT_TYPES, f"must be one of {', '.join(CONTENT_TYPES)}"),
        ("sizeBytes", _is_size(body.get("sizeBytes", 1)), f"must be a whole number from 1 to {MAX_BYTES}"),
        ("requestId", _is_request_id(body.get("requestId", "-")), f"must be 1 to {MAX_REQUEST_ID} printable letters"),
        ("lane", body.get("lane", Lane.INTERACTIVE) in tuple(Lane), f"must be one of {', '.join(Lane)}"),
        ("outputs", _is_outputs(outputs), f"must be a list of different ones of {', '.join(OUTPUTS)}"),
        ("webhook", "webhook" not in body, "webhooks are not available yet"),
    )
    problems |= {name: problem for name, fine, problem in checks if not fine}
    if problems:
        raise InvalidFields(problems)
    return Announcement(
        body["contentType"],
        body.get("sizeBytes", 0),
        body.get("requestId", ""),
        Lane(body.get("lane", Lane.INTERACTIVE)),
        tuple(sorted(outputs)),
    )


def draft(wanted: Announcement, uid: str, now: datetime, settings: Settings, trace: str) -> Prediction:
    """The prediction as announced. With a request id, the same caller always gets the same id."""
    name = requested_id(uid, wanted.request_id) if wanted.request_id else ids.new_prediction_id()
    bulk = wanted.lane is Lane.BULK
    seconds = settings.bulk_deadline_seconds if bulk else settings.deadline_seconds
    return Prediction(
        id=name,
        owner_uid=uid,
        state=State.AWAITING_UPLOAD,
        phase=Phase.WAITING_FOR_UPLOAD,
        bucket=settings.uploads_bucket,
        object=ids.upload_name(uid, name),
        create_time=now,
        deadline=now + timedelta(seconds=seconds),
        expire_time=now + timedelta(seconds=settings.retention_seconds),
        lane=wanted.lane,
        request_id=wanted.recorded_request_id if wanted.request_id else "",
        outputs=wanted.outputs,
        input={"contentType": wanted.content_type} | ({"sizeBytes": wanted.size} if wanted.size else {}),
        trace=trace,
    )


def requested_id(uid: str, request_id: str) -> str:
    """The id that belongs to a caller's request id, in the form of `ids.new_prediction_id`."""
    digest = hashlib.sha256(json.dumps([uid, request_id]).encode()).digest()
    return "p" + base64.b32encode(digest).decode().lower()[:25]


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_BYTES


def _is_request_id(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_REQUEST_ID and value.isprintable()


def _is_outputs(value: object) -> bool:
    return isinstance(value, list) and all(one in tuple(OUTPUTS) for one in value) and len(set(value)) == len(value)
