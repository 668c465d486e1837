"""Names of documents and collections by Firestore's rules, of objects by Cloud Storage's, whatever the store."""

from __future__ import annotations

import re
from typing import Literal

from shared.errors import Malformed

_MAX_PATH_BYTES = 6 << 10
_MAX_ID_BYTES = 1500
_MAX_NAME_BYTES = 1 << 10
_RESERVED = re.compile(r"\.{1,2}|__.*__", re.DOTALL)


def check_path(path: str, kind: Literal["document", "collection"]) -> None:
    """Collections and ids alternate, so a document's path has an even number of segments. Raises `Malformed`."""
    segments = path.split("/")
    if len(segments) % 2 != (kind == "collection"):
        raise Malformed(f"not the path of a {kind}: collections and ids alternate")
    try:
        sizes = [len(segment.encode()) for segment in segments]
    except UnicodeEncodeError:
        raise Malformed("the path is not Unicode") from None
    if min(sizes) == 0 or max(sizes) > _MAX_ID_BYTES or sum(sizes) > _MAX_PATH_BYTES:
        raise Malformed(f"the path of a {kind} has segments of 1 to {_MAX_ID_BYTES} bytes, {_MAX_PATH_BYTES} in all")
    if any(_RESERVED.fullmatch(segment) for segment in segments):
        raise Malformed("the path holds a reserved name")


def check_name(name: str) -> None:
    """An object's name. Raises `Malformed`."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Malformed("an object's name is Unicode text") from None
    if not 1 <= size <= _MAX_NAME_BYTES:
        raise Malformed(f"an object's name has 1 to {_MAX_NAME_BYTES} bytes")
    if name in (".", "..") or name.startswith(".well-known/acme-challenge/") or any(c in name for c in "\r\n\0"):
        raise Malformed("an object's name has no line breaks, and is not . or ..")
