"""Google's errors in our words, and when a call is repeated."""

from __future__ import annotations

import pytest
import requests
from google.api_core import exceptions as google
from google.auth import exceptions as auth

from shared import errors
from shared.adapters.google.errors import ATTEMPTS, PATIENCE, pause, retried, translated


class Call:
    """Fails as often as it is told to, and counts."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (google.NotFound("x"), errors.NotFound),
        (google.AlreadyExists("x"), errors.AlreadyExists),
        (google.PreconditionFailed("x"), errors.Conflict),
        (google.FailedPrecondition("x"), errors.Conflict),
        (google.Aborted("x"), errors.Retryable),
        (google.ResourceExhausted("x"), errors.Retryable),
        (google.ServiceUnavailable("x"), errors.Retryable),
        (google.DeadlineExceeded("x"), errors.Retryable),
        (google.InternalServerError("x"), errors.Retryable),
        (google.RetryError("x", cause=None), errors.Retryable),
        (google.InvalidArgument("x"), errors.Malformed),
        (google.PermissionDenied("x"), errors.Misconfigured),
        (google.Unauthenticated("x"), errors.Misconfigured),
        (google.MethodNotImplemented("x"), errors.Retryable),
        (google.MovedPermanently("x"), errors.Permanent),
        (auth.DefaultCredentialsError("x"), errors.Misconfigured),
        (auth.TransportError("x"), errors.Retryable),
        (requests.ConnectionError("x"), errors.Retryable),
        (TimeoutError(), errors.Retryable),
    ],
)
def test_every_kind_of_error_is_one_of_ours(theirs: Exception, ours: type[Exception]) -> None:
    assert type(translated("Firestore", theirs)) is ours


def test_a_bug_stays_a_bug() -> None:
    assert translated("Firestore", KeyError("x")) is None
    with pytest.raises(KeyError):
        retried("Firestore", Call(KeyError("x")))


def test_an_api_that_is_off_and_a_missing_index_are_told_apart_from_a_missing_permission() -> None:
    off = translated("Pub/Sub", google.Forbidden("SERVICE_DISABLED: Cloud Pub/Sub API has not been used"))
    index = translated("Firestore", google.FailedPrecondition("The query requires an index."))
    assert "not enabled" in str(off)
    assert isinstance(index, errors.Misconfigured)
    assert "index" in str(index)


def test_messages_hold_nothing_of_googles_text() -> None:
    secret = "projects/secret-project/topics/x"
    for theirs in (google.NotFound(secret), google.Forbidden(secret), google.InternalServerError(secret)):
        assert "secret" not in str(translated("Pub/Sub", theirs))


def test_a_passing_fault_is_tried_again_with_growing_pauses() -> None:
    call, slept = Call(google.ServiceUnavailable("x"), google.Aborted("x")), list[float]()
    assert retried("Firestore", call, clock=lambda: 0.0, sleep=slept.append) == "done"
    assert call.made == 3
    assert len(slept) == 2
    assert all(0 <= seconds <= 2.0 for seconds in slept)


def test_what_trying_again_cannot_help_is_not_tried_again() -> None:
    call = Call(google.PermissionDenied("x"))
    with pytest.raises(errors.Misconfigured):
        retried("Firestore", call, sleep=lambda _: None)
    assert call.made == 1


def test_attempts_end_by_number_and_by_time() -> None:
    forever = Call(*[google.ServiceUnavailable("x")] * 100)
    with pytest.raises(errors.Retryable):
        retried("Firestore", forever, clock=lambda: 0.0, sleep=lambda _: None)
    assert forever.made == ATTEMPTS
    slow, now = Call(*[google.ServiceUnavailable("x")] * 100), iter([0.0, PATIENCE + 1])
    with pytest.raises(errors.Retryable):
        retried("Firestore", slow, clock=lambda: next(now), sleep=lambda _: None)
    assert slow.made == 1


def test_pauses_are_bounded() -> None:
    assert all(pause(attempt) <= 2.0 for attempt in range(1, 50))
