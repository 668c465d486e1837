"""How a document's data is written as JSON: times as tagged text that sorts as the times do.

`@2026-08-23T12:00:00.000000Z` is a time; text that itself begins with `@` gets a second one. So SQLite can compare
times and text alike, and nothing is guessed when reading.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from shared.errors import Malformed
from shared.ports import Data

MAX_BYTES = 1 << 20  # Firestore's limit for one document
_TAG = "@"
_SMALLEST, _LARGEST = -(1 << 63), (1 << 63) - 1
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def encode(data: Data) -> str:
    """Raises `Malformed` for what a document cannot hold."""
    try:
        text = _encoder.encode(_tagged_map(data))
        size = len(text) if text.isascii() else len(text.encode())
    except (RecursionError, UnicodeEncodeError):
        raise Malformed("the document is nested too deeply or holds text that is not Unicode") from None
    if size > MAX_BYTES:
        raise Malformed("the document is larger than 1 MiB")
    return text


def decode(text: str) -> Data:
    data: Data = json.loads(text)
    if f'"{_TAG}' in text:
        return {key: _untagged(value) for key, value in data.items()}
    return data


def scalar(value: Any) -> str | int | float | bool | None:
    """A value as queries compare it. Raises `Malformed` for lists and maps."""
    tagged = _tagged(value)
    if isinstance(tagged, list | dict):
        raise Malformed("queries compare text, numbers, booleans and times")
    return tagged  # type: ignore[no-any-return]


def _tagged(value: Any) -> Any:
    kind = type(value)
    if kind is str:  # exact types first: nearly everything is one of these
        return _TAG + value if value.startswith(_TAG) else value
    if kind is dict:
        return _tagged_map(value)
    if kind is int:
        return value if _SMALLEST <= value <= _LARGEST else _refuse_number()
    if kind is float:
        return value if math.isfinite(value) else _refuse_number()
    if value is None or kind is bool:
        return value
    return _tagged_rare(value)


def _tagged_rare(value: Any) -> Any:
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, list | tuple):
        return [_tagged(item) for item in value]
    if isinstance(value, Mapping):
        return _tagged_map(value)
    if isinstance(value, str):  # an enum's member, say
        return _tagged(str.__str__(value))
    if isinstance(value, int):
        return _tagged(int.__int__(value))
    if isinstance(value, float):
        return _tagged(float.__float__(value))
    raise Malformed(f"a document cannot hold a {type(value).__name__}")


def _tagged_map(data: Mapping[str, Any]) -> dict[str, Any]:
    for key in data:
        if not key or not isinstance(key, str):
            raise Malformed("the keys of a document are text, and not empty")
    return {key: _tagged(value) for key, value in data.items()}


def _refuse_number() -> NoReturn:
    raise Malformed("numbers are finite, and integers have at most 64 bits")


def _time(value: datetime) -> str:
    if value.tzinfo is None:
        raise Malformed("times need a time zone")
    try:
        moment = value if value.tzinfo is UTC else value.astimezone(UTC)
        text = moment.isoformat(timespec="microseconds")
    except OverflowError:
        raise Malformed("the time is too far away") from None
    return f"{_TAG}{text[:-6]}Z"


def _untagged(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        if not value.startswith(_TAG):
            return value
        return value[1:] if value.startswith(_TAG * 2) else datetime.fromisoformat(value[1:])
    if kind is dict:
        return {key: _untagged(item) for key, item in value.items()}
    return [_untagged(item) for item in value] if kind is list else value
