"""Topics over the embedded broker's REST publish; stdlib only, because functions start cold with it."""

from __future__ import annotations

import base64
import http.client
import json
import random
import threading
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from shared.errors import Malformed, NotFound, Retryable

_ATTEMPTS = 7
_PAUSE = 0.1  # s before the third attempt, doubling, ± half: about 3 s in all, enough for a broker that restarts
_TIMEOUT = 10.0  # s per attempt
_REFUSED: dict[int, type[Malformed] | type[NotFound]] = {400: Malformed, 404: NotFound, 413: Malformed}


class LocalTopics:
    """Thread-safe: each thread keeps its own connection."""

    def __init__(self, broker_url: str, project: str) -> None:
        self._authority = urlsplit(broker_url).netloc
        self._project = project
        self._local = threading.local()

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """The message id once the broker has it on disk. Raises `Retryable`, `NotFound` or `Malformed`.

        A lost answer is published again: subscribers see messages at least once anyway.
        """
        message = {"data": base64.b64encode(data).decode(), "attributes": dict(attributes)}
        body = json.dumps({"messages": [message]}).encode()
        path = f"/v1/projects/{self._project}/topics/{topic}:publish"
        for attempt in range(_ATTEMPTS):
            if attempt > 1:  # the second is for a kept connection that the broker has closed: at once
                time.sleep(_PAUSE * 2 ** (attempt - 2) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            answer = self._post(path, body)
            if answer is not None:
                return answer
        raise Retryable("the queue cannot be reached now")

    def close(self) -> None:
        """This thread's connection; the next publish opens it again."""
        self._connection().close()

    def _post(self, path: str, body: bytes) -> str | None:
        """The message id, or None if it is worth another attempt."""
        connection = self._connection()
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request opens it again
            return None
        if response.status in _REFUSED:
            raise _REFUSED[response.status](f"the queue refused the message ({response.status})")
        return str(json.loads(answer)["messageIds"][0]) if response.status == 200 else None

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self._authority, timeout=_TIMEOUT)
        return connection
