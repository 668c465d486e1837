"""A document's data as Firestore's protobuf values, and back. Knows nothing of what the data means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.errors import Malformed
from shared.ports import Data

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64 = range(-(1 << 63), 1 << 63)
_DEEPEST = 20  # Firestore's limit for maps and lists within each other


def write(data: Mapping[str, Any], fields: Any) -> None:
    """Fill `fields`, a protobuf map of name → Value. Raises `Malformed` for what a document cannot hold."""
    _write_map(data, fields, 0)


def read(fields: Any) -> Data:
    return {name: read_value(value) for name, value in fields.items()}


def write_value(value: Any, target: Any, depth: int = 0) -> None:
    """Set the one field of `target`, a protobuf Value, that fits."""
    if value is None:
        target.null_value = 0
    elif isinstance(value, bool):
        target.boolean_value = value
    elif isinstance(value, int):
        target.integer_value = _checked(value, value in _INT64)
    elif isinstance(value, float):
        target.double_value = _checked(value, math.isfinite(value))
    elif isinstance(value, str):
        target.string_value = _text(value)
    elif isinstance(value, datetime):
        write_time(value, target.timestamp_value)
    elif isinstance(value, Mapping):
        target.map_value.SetInParent()  # an empty map is a map
        _write_map(value, target.map_value.fields, depth + 1)
    elif isinstance(value, list | tuple):
        target.array_value.SetInParent()
        _write_list(value, target.array_value.values, depth + 1)
    else:
        raise Malformed(f"a document cannot hold a {type(value).__name__}")


def read_value(value: Any) -> Any:
    kind = value.WhichOneof("value_type")
    if kind == "null_value":
        return None
    if kind == "timestamp_value":
        return read_time(value.timestamp_value)
    if kind == "map_value":
        return read(value.map_value.fields)
    if kind == "array_value":
        return [read_value(item) for item in value.array_value.values]
    return getattr(value, kind)


def write_time(value: datetime, target: Any) -> None:
    if value.tzinfo is None:
        raise Malformed("times need a time zone")
    microseconds = (value - _EPOCH) // timedelta(microseconds=1)
    target.seconds, rest = divmod(microseconds, 1_000_000)
    target.nanos = rest * 1000


def read_time(timestamp: Any) -> datetime:
    return _EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1000)


def _write_map(data: Mapping[str, Any], fields: Any, depth: int) -> None:
    _check_depth(depth)
    for key, value in data.items():
        if not isinstance(key, str) or not key:
            raise Malformed("the keys of a document are text, and not empty")
        write_value(value, fields[_text(key)], depth)


def _write_list(items: list[Any] | tuple[Any, ...], values: Any, depth: int) -> None:
    _check_depth(depth)
    for item in items:
        if isinstance(item, list | tuple):
            raise Malformed("a document cannot hold a list directly within a list")
        write_value(item, values.add(), depth)


def _check_depth(depth: int) -> None:
    if depth > _DEEPEST:
        raise Malformed("the document is nested too deeply")


def _checked(number: Any, fits: bool) -> Any:
    if not fits:
        raise Malformed("numbers are finite, and integers have at most 64 bits")
    return number


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Malformed("the document holds text that is not Unicode") from None
    return value
