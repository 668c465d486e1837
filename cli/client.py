"""The HTTP API as the commands use it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from shared.errors import Malformed, MasklineError, Misconfigured, Rejected, Retryable
from shared.settings import Settings

TERMINAL = frozenset({"SUCCEEDED", "FAILED", "REJECTED", "CANCELLED", "EXPIRED"})
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TRIES = 30
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)  # s for one request
_UNKNOWN, _KNOWN = 2.0, 50.0  # s that a service is waited for: one that never answered, one that did
_LONGEST = 60.0  # s: a service that wants a longer pause is not waited for
_LOOKS = (0.05, 1.0)  # s between two looks at a prediction: first, last


@dataclass(frozen=True, slots=True)
class Client:
    """Safe for threads. `token()` is asked before each request; it may change."""

    url: str
    token: Callable[[], str]
    http: httpx.Client
    answered: threading.Event = field(default_factory=threading.Event)
    given_up: threading.Event = field(default_factory=threading.Event)

    def give_up(self) -> None:
        """Every call that waits, in whatever thread, and every later one raises `Retryable`."""
        self.given_up.set()

    def create(self, content_type: str, size: int, request_id: str) -> dict[str, Any]:
        body = {"contentType": content_type, "sizeBytes": size, "requestId": request_id}
        return self._json("POST", "/v1/predictions", json=body)

    def upload(self, prediction: dict[str, Any], data: bytes) -> None:
        """The photo, to where the API said. A repeated upload that already happened is fine."""
        answer = self._send("PUT", prediction["uploadUrl"], headers=prediction["uploadHeaders"], content=data)
        if answer.status_code not in (200, 201, 412):
            raise _failure(answer)

    def get(self, prediction_id: str) -> dict[str, Any]:
        return self._json("GET", f"/v1/predictions/{prediction_id}")

    def list(self) -> Iterator[dict[str, Any]]:
        """All predictions of this user, newest first."""
        token = ""
        while True:
            page = self._json("GET", f"/v1/predictions?pageSize=100&pageToken={token}")
            yield from page["predictions"]
            token = page.get("nextPageToken", "")
            if not token:
                return

    def wait(self, prediction_id: str) -> dict[str, Any]:
        """The prediction once it has ended. It always ends: its deadline sees to that."""
        pause, longest = _LOOKS
        while True:
            prediction = self.get(prediction_id)
            if prediction["state"] in TERMINAL:
                return prediction
            self._pause(pause)
            pause = min(longest, pause * 1.3)

    def mask(self, prediction: dict[str, Any]) -> bytes:
        answer = self._send("GET", prediction["result"]["maskUrl"])
        if answer.status_code != 200:
            raise _failure(answer)
        return answer.content

    def _json(self, method: str, path: str, **rest: Any) -> dict[str, Any]:
        answer = self._send(method, self.url + path, headers={"authorization": f"Bearer {self.token()}"}, **rest)
        if answer.is_error:
            raise _failure(answer)
        document: dict[str, Any] = answer.json()
        return document

    def _send(self, method: str, url: str, **rest: Any) -> httpx.Response:
        """Every request here may be repeated; a restarting service is waited for, one that never answered is not."""
        began, told = time.monotonic(), 0.0  # s that it asked to be left alone
        for attempt in range(_TRIES):
            try:
                answer = self.http.request(method, url, **rest)
            except httpx.TransportError:
                answer = None
            wish = _wish(answer)
            if answer is not None:
                self.answered.set()
                if answer.status_code not in (429, 502, 503) or wish > _LONGEST:
                    return answer
            if time.monotonic() - began - told > (_KNOWN if self.answered.is_set() else _UNKNOWN):
                break
            told += wish
            self._pause(max(wish, min(2.0, 0.1 * 1.5**attempt)))
        raise Retryable(f"no answer from {self.url}: is `maskline up` running?")

    def _pause(self, seconds: float) -> None:
        if self.given_up.wait(seconds):
            raise Retryable("interrupted")


def _wish(answer: httpx.Response | None) -> float:
    """Seconds that a service which is busy wants to be left alone."""
    text = answer.headers.get("retry-after", "") if answer is not None and answer.status_code == 429 else ""
    return float(text) if text.isascii() and text.isdigit() else 0.0


def connect(settings: Settings, user: str, token: str = "") -> Client:
    """For `settings.url`. Without a `token`, development tokens of the local profile are made for `user`.

    Raises `Misconfigured` for a token that no header can hold.
    """
    from local import devtoken

    if not token.isascii() or not token.isprintable():
        raise Misconfigured("the token is not an ID token")

    give = (lambda: token) if token else (lambda: devtoken.issue(settings, user))
    here = urlsplit(settings.url).hostname in _LOOPBACK  # a proxy of the environment is for the world outside
    return Client(settings.url.rstrip("/"), give, httpx.Client(timeout=_TIMEOUT, trust_env=not here))


def content_type_of(file: Path, head: bytes) -> str:
    """What to announce. The content decides, as it will in the end; the unknown goes as JPEG and is judged there."""
    if head.startswith(b"\x89PNG"):
        return "image/png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    by_name = {".png": "image/png", ".webp": "image/webp"}
    return "image/jpeg" if head.startswith(b"\xff\xd8") else by_name.get(file.suffix.lower(), "image/jpeg")


def _failure(answer: httpx.Response) -> MasklineError:
    try:
        error = answer.json()["error"]
        message, details = str(error["message"]), error.get("details") or [{}]
    except (ValueError, KeyError, TypeError):
        message, details = f"the service answered {answer.status_code}", [{}]
    reason = details[0].get("reason", "") if isinstance(details[0], dict) else ""
    return Rejected(reason, message) if reason else Malformed(message)
