"""Pub/Sub's REST publish request, read and checked. Pure.

`{"messages": [{"data": base64, "attributes": {name: text}}]}`; the limits are Pub/Sub's.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from shared.errors import Malformed

MAX_BYTES = 10_000_000  # per request
MAX_MESSAGES = 1000  # per request
MAX_ATTRIBUTES, MAX_NAME, MAX_VALUE = 100, 256, 1024  # per message; bytes


def parse(body: bytes) -> list[tuple[bytes, Mapping[str, str]]]:
    """Data and attributes of each message. Raises `Malformed` with what is wrong."""
    try:
        messages = json.loads(body)["messages"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Malformed("the body is not a publish request") from None
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise Malformed(f"a publish request holds 1 to {MAX_MESSAGES} messages")
    return [_message(message) for message in messages]


def _message(message: Any) -> tuple[bytes, Mapping[str, str]]:
    if not isinstance(message, dict):
        raise Malformed("a message is an object")
    attributes = _attributes(message.get("attributes") or {})
    try:
        data = base64.b64decode(message.get("data") or "", validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise Malformed("a message's data is base64") from None
    if not data and not attributes:
        raise Malformed("a message needs data or attributes")
    return data, attributes


def _attributes(attributes: Any) -> Mapping[str, str]:
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise Malformed("attributes are strings")
    if len(attributes) > MAX_ATTRIBUTES:
        raise Malformed(f"a message has at most {MAX_ATTRIBUTES} attributes")
    for name, value in attributes.items():
        if not name or _size(name) > MAX_NAME or _size(value) > MAX_VALUE:
            raise Malformed(f"an attribute's name is 1 to {MAX_NAME} bytes, its value at most {MAX_VALUE}")
    return attributes


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
