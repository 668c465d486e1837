"""From raised errors to answers, with Cloud Storage's status codes. Knows no routes."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from shared.api.errors import INTERNAL, Problem, TooLarge, WrongMethod
from shared.errors import Busy, Conflict, Denied, Malformed, MasklineError, NotFound, Retryable, StorageFull


class Stalled(MasklineError):
    """The sender fell silent in the middle of a body."""


class BucketExists(MasklineError):
    """A bucket of this name was made before."""


_BY_TYPE: Sequence[tuple[type[MasklineError], int, str]] = (
    (TooLarge, 413, "INVALID_ARGUMENT"),
    (Malformed, 400, "INVALID_ARGUMENT"),
    (Denied, 403, "PERMISSION_DENIED"),
    (NotFound, 404, "NOT_FOUND"),
    (WrongMethod, 405, "METHOD_NOT_ALLOWED"),
    (Stalled, 408, "ABORTED"),
    (BucketExists, 409, "ALREADY_EXISTS"),
    (Conflict, 412, "FAILED_PRECONDITION"),
    (Busy, 429, "RESOURCE_EXHAUSTED"),
    (StorageFull, 507, "RESOURCE_EXHAUSTED"),
    (Retryable, 503, "UNAVAILABLE"),
)


def problem_of(error: Exception) -> Problem:
    """What the caller is told. Anything that is not ours to explain is INTERNAL, without details."""
    for kind, code, status in _BY_TYPE:
        if isinstance(error, kind):
            return Problem(code, status, str(error), headers=_headers(error))
    return INTERNAL


def _headers(error: MasklineError) -> dict[str, str]:
    if isinstance(error, WrongMethod):
        return {"allow": ", ".join(error.allowed)}
    if isinstance(error, Retryable):
        return {"retry-after": str(ceil(error.retry_after) if isinstance(error, Busy) else 1)}
    return {}
