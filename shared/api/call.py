"""What a handler is told about one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

JSON_BYTES = 64 << 10  # the longest JSON body that is read


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and attributed: header names are in lower case; `uid` is empty on public routes."""

    uid: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
