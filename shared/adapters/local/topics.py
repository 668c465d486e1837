"""Topics over the embedded broker's REST publish; stdlib only, because functions start cold with it.

Threads that publish at the same time share a request, and so its commit: whoever comes while one is under way waits,
and the first of those sends for all of them.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from shared.adapters.local.turns import Turns
from shared.errors import Malformed, MasklineError, Misconfigured, NotFound, Retryable

_ATTEMPTS = 7
_PAUSE = 0.1  # s before the third attempt, doubling, ± half: about 3 s in all, enough for a broker that restarts
_TIMEOUT = 10.0  # s per attempt
_MOST = 100  # messages per request
_REFUSED: dict[int, type[Malformed] | type[NotFound]] = {400: Malformed, 404: NotFound, 413: Malformed}


@dataclass(slots=True, eq=False)
class _Letter:
    """A message on its way. Sent: it has an id or an error."""

    topic: str
    message: Mapping[str, Any]
    id: str = ""
    error: MasklineError | None = None

    @property
    def sent(self) -> bool:
        return bool(self.id) or self.error is not None


class LocalTopics:
    """Thread-safe. One connection: whoever has the turn uses it."""

    def __init__(self, broker_url: str, project: str) -> None:
        self._project = project
        self._connection = http.client.HTTPConnection(urlsplit(broker_url).netloc, timeout=_TIMEOUT)
        self._turns = Turns()
        self._mutex = threading.Lock()
        self._letters: list[_Letter] = []

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """The message id once the broker has it on disk.

        Raises `Retryable`, `Malformed`, or `Misconfigured` if there is no such topic. A lost answer is published
        again: subscribers see messages at least once anyway.
        """
        letter = _Letter(topic, {"data": base64.b64encode(data).decode(), "attributes": dict(attributes)})
        with self._mutex:
            self._letters.append(letter)
        self._turns.take()
        try:
            while not letter.sent:
                self._send(self._next(topic))
        finally:
            self._turns.leave()
        if letter.error is not None:
            raise letter.error
        return letter.id

    def _next(self, topic: str) -> list[_Letter]:
        with self._mutex:
            letters = [letter for letter in self._letters if letter.topic == topic][:_MOST]
            self._letters = [letter for letter in self._letters if letter not in letters]
        return letters

    def _send(self, letters: Sequence[_Letter]) -> None:
        """Each gets its id or its error; one that the broker refuses does not take the others with it."""
        try:
            ids = self._published(letters[0].topic, [letter.message for letter in letters])
        except Malformed as error:
            if len(letters) > 1:
                for letter in letters:
                    self._send([letter])
            else:
                letters[0].error = error
        except MasklineError as error:
            for letter in letters:
                letter.error = type(error)(str(error))
        else:
            for letter, one in zip(letters, ids, strict=True):
                letter.id = one
        finally:
            for letter in letters:
                if not letter.sent:  # an answer that nobody expects
                    letter.error = Retryable("the queue gave no usable answer")

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
            if answer is not None:
                return answer
        raise Retryable("the queue cannot be reached now")

    def close(self) -> None:
        """The next publish opens it again."""
        self._turns.take()
        self._connection.close()
        self._turns.leave()

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
