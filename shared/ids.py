"""Names of things: prediction ids, object names, and the user that an object's name belongs to."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets

OPERATOR = "operator"  # owns what was copied into the bucket outside `users/`
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ID = re.compile(r"[ph][a-z2-7]{25}")
_DIGITS = 25  # base32 characters after the prefix: 125 bits


def new_prediction_id() -> str:
    """A random id for an upload announced through the API: `p` + 25 base32 characters."""
    return "p" + _base32(secrets.token_bytes(16))[:_DIGITS]


def prediction_id_of(bucket: str, name: str, generation: int) -> str:
    """The id of a file copied into the bucket: `h` + a hash, so each generation has its own outcome."""
    event = b"\0".join([bucket.encode(), name.encode("utf-8", "surrogatepass"), str(generation).encode()])
    return "h" + _base32(hashlib.sha256(event).digest())[:_DIGITS]


def is_prediction_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def upload_name(uid: str, prediction_id: str) -> str:
    """The object that the API announces for a prediction."""
    return f"users/{user_segment(uid)}/{prediction_id}"


def announced_id(name: str) -> str | None:
    """The prediction that an upload's name announces, if it has that form; the document decides if it is true."""
    parts = name.split("/")
    if len(parts) == 3 and parts[0] == "users" and parts[2].startswith("p") and is_prediction_id(parts[2]):
        return parts[2]
    return None


def owner_of(name: str) -> str:
    """`users/{segment}/…` belongs to that user, everything else to the operator."""
    parts = name.split("/")
    if len(parts) >= 3 and parts[0] == "users" and parts[1]:
        return _uid(parts[1]) or OPERATOR
    return OPERATOR


def result_name(prediction_id: str, generation: int, fence: int, file: str = "mask.png") -> str:
    """Where one claim stores its mask, or another file of its result: no two claims ever share a path (ADR 0001)."""
    return f"predictions/{prediction_id}/{generation}/{fence}/{file}"


def user_segment(uid: str) -> str:
    """A path segment for any uid, reversible: plain if harmless, else `~` + base32."""
    return uid if _SAFE.fullmatch(uid) else "~" + _base32(uid.encode())


def user_digest(uid: str) -> str:
    """The same for the same user, and tells nobody who it is."""
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def _uid(segment: str) -> str | None:
    if _SAFE.fullmatch(segment):
        return segment
    if not segment.startswith("~"):
        return None
    text = segment[1:].upper()
    try:
        return base64.b32decode(text + "=" * (-len(text) % 8)).decode()
    except ValueError:
        return None


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
