"""From Google's errors to ours, and the one retry policy: bounded, with full jitter.

Retrying a write whose answer was lost can meet its own effect; a conditional write then says `Conflict` or
`AlreadyExists`, and the caller re-reads and decides, as after any race (ADR 0001).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from shared.adapters.google.libraries import load
from shared.errors import (
    AlreadyExists,
    Conflict,
    Malformed,
    MasklineError,
    Misconfigured,
    NotFound,
    Permanent,
    Retryable,
    StorageFull,
)

T = TypeVar("T")

ATTEMPTS = 5
TIMEOUT = 10.0  # seconds for one attempt
PATIENCE = 20.0  # seconds after which no further attempt begins
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds


def retried(
    service: str,
    call: Callable[[], T],
    *,
    attempts: int = ATTEMPTS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """`call()`, again after passing faults. Raises errors of `shared.errors` only, but for bugs, which pass through."""
    give_up = clock() + PATIENCE
    for attempt in range(1, attempts + 1):
        try:
            return call()
        except Exception as error:
            problem = translated(service, error)
            if problem is None:
                raise
            if not isinstance(problem, Retryable) or attempt == attempts or clock() >= give_up:
                raise problem from error
        sleep(pause(attempt))
    raise AssertionError("unreachable")


def pause(attempt: int) -> float:
    """Seconds to wait after that many failed attempts: full jitter, so that losers do not come back together."""
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1)))  # noqa: S311 - not a secret


def translated(service: str, error: Exception) -> MasklineError | None:
    """None: not a fault of the service or the way there, so a bug of ours."""
    if isinstance(error, MasklineError):
        return error
    google, auth = load("google.api_core.exceptions"), load("google.auth.exceptions")
    if isinstance(error, auth.DefaultCredentialsError):
        return Misconfigured("no Google credentials were found: run `gcloud auth application-default login`")
    if isinstance(error, auth.GoogleAuthError):
        return Retryable(f"no access token for {service} could be had")
    if isinstance(error, google.RetryError):
        return Retryable(f"{service} did not answer in time")
    if isinstance(error, google.GoogleAPICallError):
        return _answered(service, error)
    return Retryable(f"the connection to {service} broke") if _transport_fault(error) else None


def _answered(service: str, error: Exception) -> MasklineError:
    google = load("google.api_core.exceptions")
    kinds: tuple[tuple[tuple[type[Exception], ...], type[MasklineError], str], ...] = (
        ((google.NotFound,), NotFound, f"{service} has no such thing"),
        ((google.AlreadyExists,), AlreadyExists, "it exists already"),
        ((google.Aborted, google.TooManyRequests), Retryable, f"{service} is contended"),
        ((google.FailedPrecondition, google.PreconditionFailed, google.Conflict), Conflict, "it has changed"),
        ((google.Unauthorized, google.Forbidden), Misconfigured, _refusal(service, error)),
        ((google.ServerError, google.Cancelled), Retryable, f"{service} is not available"),
        ((google.BadRequest, google.RequestRangeNotSatisfiable), Malformed, f"{service} does not accept this"),
    )
    if isinstance(error, google.FailedPrecondition) and "requires an index" in str(error):
        return Misconfigured(f"{service} lacks an index that a query needs: apply Terraform, which declares them")
    for classes, ours, message in kinds:
        if isinstance(error, classes):
            return ours(message)
    return _by_status(service, error)


def _by_status(service: str, error: Exception) -> MasklineError:
    """Statuses that the library has no class for."""
    code = getattr(error, "code", None) or 0
    if code == 507:  # only the local object server says so
        return StorageFull(f"{service} has no room")
    if code == 408 or code >= 500:
        return Retryable(f"{service} is not available")
    return Permanent(f"{service} refused the call")


def _refusal(service: str, error: Exception) -> str:
    if "SERVICE_DISABLED" in f"{getattr(error, 'reason', '')} {error}":
        return f"the API of {service} is not enabled in this project: apply Terraform, which enables it"
    return f"this identity may not do that in {service}: grant its role, then run `maskline doctor`"


def _transport_fault(error: Exception) -> bool:
    """Below the API's own errors: sockets, broken bodies, checksums that do not match what arrived."""
    import requests

    return isinstance(error, requests.RequestException | ConnectionError | TimeoutError) or (
        type(error).__name__ == "DataCorruption"  # Cloud Storage's, which not every function has installed
    )
