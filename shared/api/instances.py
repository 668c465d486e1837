"""Is an instance awake? Answers from `instances/*`, asked at most once a second however many watch."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta

from shared.ports import Document, Documents

_LOST = timedelta(seconds=30)  # three heartbeats
_REMEMBER = 1.0  # s


class Instances:
    """Safe for threads."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._lock = threading.Lock()
        self._answer = False
        self._asked = float("-inf")

    def any_ready(self) -> bool:
        with self._lock:
            if time.monotonic() - self._asked >= _REMEMBER:
                ready = self._documents.query("instances", [("state", "==", "ready")])
                self._answer = any(_alive(document) for document in ready)
                self._asked = time.monotonic()
            return self._answer


def _alive(document: Document) -> bool:
    beat = document.data.get("heartbeatTime")
    return isinstance(beat, datetime) and document.read_time - beat < _LOST
