"""From raised errors to the contract's error JSON. Knows no routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from starlette.responses import JSONResponse

from shared.errors import (
    AlreadyExists,
    Busy,
    Conflict,
    Denied,
    Malformed,
    MasklineError,
    NotFound,
    OverQuota,
    Rejected,
    Retryable,
    StorageFull,
)

HEADERS = {  # of every answer: it is data, is kept nowhere, and nothing in it may run or be framed
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class InvalidFields(Malformed):
    """`violations`: what is wrong, by the name of the field."""

    def __init__(self, violations: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {problem}" for name, problem in violations.items()))
        self.violations = violations


class TooLarge(Malformed):
    """The body is longer than this request may be."""


class TooSlow(Malformed):
    """The body did not come in time."""


class WrongType(Malformed):
    """The body is of a type that this request does not take."""


class WrongMethod(MasklineError):
    """The path exists, the method does not; `allowed` does."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"This path takes {', '.join(allowed)}.")
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Problem:
    code: int
    status: str
    message: str
    details: Sequence[Mapping[str, Any]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> JSONResponse:
        error = {"code": self.code, "status": self.status, "message": self.message, "details": list(self.details)}
        return JSONResponse({"error": error}, self.code, headers=HEADERS | dict(self.headers))


_BY_TYPE: Sequence[tuple[type[MasklineError], int, str]] = (
    (TooLarge, 413, "INVALID_ARGUMENT"),
    (TooSlow, 408, "ABORTED"),
    (WrongType, 415, "INVALID_ARGUMENT"),
    (Malformed, 400, "INVALID_ARGUMENT"),
    (Rejected, 400, "INVALID_ARGUMENT"),
    (Denied, 401, "UNAUTHENTICATED"),
    (NotFound, 404, "NOT_FOUND"),
    (WrongMethod, 405, "METHOD_NOT_ALLOWED"),
    (AlreadyExists, 409, "ALREADY_EXISTS"),
    (Conflict, 409, "FAILED_PRECONDITION"),
    (Busy, 429, "RESOURCE_EXHAUSTED"),
    (StorageFull, 507, "RESOURCE_EXHAUSTED"),
    (Retryable, 503, "UNAVAILABLE"),
)
INTERNAL = Problem(500, "INTERNAL", "Something went wrong on our side.")


def problem_of(error: Exception) -> Problem:
    """What the caller is told. Anything that is not ours to explain is INTERNAL, without details."""
    for kind, code, status in _BY_TYPE:
        if isinstance(error, kind):
            return Problem(code, status, str(error), _details(error), _headers(error))
    return INTERNAL


def _details(error: Exception) -> list[Mapping[str, Any]]:
    if isinstance(error, InvalidFields):
        return [{"field": name, "description": problem} for name, problem in error.violations.items()]
    if isinstance(error, OverQuota):
        return [{"reason": "QUOTA_EXCEEDED", "limit": error.limit, "allowed": error.allowed}]
    return [{"reason": error.reason}] if isinstance(error, Rejected) else []


def _headers(error: Exception) -> Mapping[str, str]:
    if isinstance(error, Denied):
        return {"www-authenticate": "Bearer"}
    if isinstance(error, WrongMethod):
        return {"allow": ", ".join(error.allowed)}
    if isinstance(error, Retryable):
        return {"retry-after": str(max(1, ceil(error.retry_after)) if isinstance(error, Busy) else 1)}
    return {}
