"""Whose turn it is: the users' deliveries one after another, each user's own in the order in which they came. Pure.

Start-time fair queueing with equal shares: a delivery's turn is the one after its user's last, but never one that has
passed. Who comes with one photo waits for one photo of every other user, however many those have waiting.
"""

from __future__ import annotations

import heapq


class Turns:
    """What is ready, named by number. A user is any text; deliveries of nobody ("") are one user's."""

    def __init__(self) -> None:
        self._ready: list[tuple[int, int, str]] = []  # heap: turn, number, user
        self._last: dict[str, int] = {}  # the turn of each waiting user's newest
        self._passed = 0

    def __bool__(self) -> bool:
        return bool(self._ready)

    def add(self, user: str, number: int) -> None:
        turn = max(self._passed, self._last.get(user, 0)) + 1
        self._last[user] = turn
        heapq.heappush(self._ready, (turn, number, user))

    def take(self) -> int:
        """The next one's number. Raises `IndexError` if nothing is ready."""
        turn, number, user = heapq.heappop(self._ready)
        self._passed = turn
        if self._last[user] == turn:
            del self._last[user]  # nothing of theirs waits: the next one counts from what has passed
        return number
