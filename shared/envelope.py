"""The Pub/Sub push envelope: what a subscriber's HTTP endpoint receives."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import Malformed

_NO_PUSH = "the body is not a Pub/Sub push envelope"
_JSON = json.JSONEncoder(separators=(",", ":"))  # `json.dumps` makes one for each push: more work than the push's JSON


class NoPush(Malformed):
    """Nothing that Pub/Sub would send, whatever was published."""


@dataclass(frozen=True, slots=True)
class Push:
    """One delivery. `delivery_attempt` starts at 1; sent for subscriptions that have a dead-letter topic."""

    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    message_id: str = ""
    subscription: str = ""
    delivery_attempt: int = 1


def decode(body: bytes) -> Push:
    """Raises `NoPush`, or `Malformed` for a push with something else in it than Pub/Sub's data and attributes."""
    try:
        return from_json(json.loads(body))
    except (ValueError, RecursionError):
        raise NoPush(_NO_PUSH) from None


def from_json(envelope: Any) -> Push:
    if not isinstance(envelope, dict) or not isinstance(envelope.get("message"), dict):
        raise NoPush(_NO_PUSH)
    try:
        message = envelope["message"]
        attributes = message.get("attributes") or {}
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in attributes.items()):
            raise ValueError("attributes are strings")
        return Push(
            data=base64.b64decode(message.get("data") or "", validate=True),
            attributes=dict(attributes),
            message_id=str(message.get("messageId") or message.get("message_id") or ""),
            subscription=str(envelope.get("subscription") or ""),
            delivery_attempt=int(envelope.get("deliveryAttempt") or 1),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, binascii.Error):
        raise Malformed(_NO_PUSH) from None


def encode(push: Push, publish_time: str) -> bytes:
    """The wrapped form as Pub/Sub sends it, both spellings of the id and time included."""
    message = {
        "data": base64.b64encode(push.data).decode(),
        "attributes": dict(push.attributes),
        "messageId": push.message_id,
        "message_id": push.message_id,
        "publishTime": publish_time,
        "publish_time": publish_time,
    }
    envelope = {"message": message, "subscription": push.subscription, "deliveryAttempt": push.delivery_attempt}
    return _JSON.encode(envelope).encode()
