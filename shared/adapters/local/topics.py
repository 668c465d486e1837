"""Topics over the embedded broker's REST publish; stdlib only, because functions start cold with it.

Messages that are published together share a request, and so the broker's commit.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from shared.errors import Malformed, MasklineError, Misconfigured, NotFound, Retryable
from shared.ports import Message

_ATTEMPTS = 7
_PAUSE = 0.1  # s before the third attempt, doubling, ± half: about 3 s in all, enough for a broker that restarts
_TIMEOUT = 10.0  # s per attempt
_MOST = 100  # messages per request
_REFUSED: dict[int, type[Malformed] | type[NotFound]] = {400: Malformed, 404: NotFound, 413: Malformed}


class LocalTopics:
    """Thread-safe. One connection, for one request at a time."""

    def __init__(self, broker_url: str, project: str) -> None:
        self._project = project
        self._connection = http.client.HTTPConnection(urlsplit(broker_url).netloc, timeout=_TIMEOUT)
        self._lock = threading.Lock()
        self._failed_at = 0.0  # s: when the broker was last given up

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """The message id once the broker has it on disk.

        Raises `Retryable`, `Malformed`, or `Misconfigured` if there is no such topic. A lost answer is published
        again: subscribers see messages at least once anyway.
        """
        (outcome,) = self.publish_all(topic, [(data, attributes)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def publish_all(self, topic: str, messages: Sequence[Message]) -> list[str | Exception]:
        rows = [{"data": base64.b64encode(data).decode(), "attributes": dict(about)} for data, about in messages]
        asked_at = time.monotonic()
        with self._lock:
            if asked_at < self._failed_at:  # while this thread waited: its own attempts would end as those did
                return [_unreachable()] * len(rows)
            parts = [self._sent(topic, rows[first : first + _MOST]) for first in range(0, len(rows), _MOST)]
        return [outcome for part in parts for outcome in part]

    def _sent(self, topic: str, rows: Sequence[Mapping[str, Any]]) -> Sequence[str | Exception]:
        """Each one's id or error; one that the broker refuses does not take the others with it."""
        try:
            return self._published(topic, rows)
        except Malformed as error:
            return [error] if len(rows) == 1 else [one for row in rows for one in self._sent(topic, [row])]
        except MasklineError as error:
            return [error] * len(rows)

    def _published(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> list[str]:
        body = json.dumps({"messages": messages}).encode()
        path = f"/v1/projects/{self._project}/topics/{topic}:publish"
        for attempt in range(_ATTEMPTS):
            if attempt > 1:  # the second is for a kept connection that the broker has closed: at once
                time.sleep(_PAUSE * 2 ** (attempt - 2) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            try:
                answer = self._post(path, body)
            except NotFound:
                raise Misconfigured(f"the topic {topic!r} does not exist") from None
            if answer is not None and len(answer) == len(messages):
                return answer
        self._failed_at = time.monotonic()
        raise _unreachable()

    def close(self) -> None:
        """The next publish opens it again."""
        with self._lock:
            self._connection.close()

    def _post(self, path: str, body: bytes) -> list[str] | None:
        """The message ids, or None if it is worth another attempt."""
        try:
            self._connection.request("POST", path, body, {"content-type": "application/json"})
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request opens it again
            return None
        if response.status in _REFUSED:
            raise _REFUSED[response.status](f"the queue refused the message ({response.status})")
        return [str(one) for one in json.loads(answer)["messageIds"]] if response.status == 200 else None


def _unreachable() -> Retryable:
    return Retryable("the queue cannot be reached now")
