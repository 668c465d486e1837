"""A lock whose holder learns whether somebody waits, and hands it on: how a group commit knows its last member."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """First come, first served. Whoever has the turn must `leave` it, or `pass_on` with success."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    def take(self, seconds: float = -1) -> bool:
        """False: it did not come within `seconds` (negative: wait for as long as it takes)."""
        with self._mutex:
            if not self._taken:
                self._taken = True
                return True
            mine = threading.Lock()
            mine.acquire()  # whoever passes the turn on releases it
            self._waiting.append(mine)
        return mine.acquire(timeout=seconds) or not self._withdrawn(mine)

    def pass_on(self) -> bool:
        """False: nobody waits, and the turn is still yours."""
        with self._mutex:
            if not self._waiting:
                return False
            self._waiting.popleft().release()
            return True

    def leave(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False

    def _withdrawn(self, mine: threading.Lock) -> bool:
        """False: the turn was passed on at the last moment."""
        with self._mutex:
            if mine not in self._waiting:
                return False
            self._waiting.remove(mine)
            return True

    # A fork happens while the forking thread has the turn; the child has none of the threads that waited for it.

    def before_fork(self) -> None:
        self._mutex.acquire()

    def after_fork(self, child: bool) -> None:
        if child:
            self._waiting.clear()
        self._mutex.release()
        self.leave()
