"""Random access over ranged reads: a window that grows, so that even a file made of tiny jumps takes few reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from shared.errors import Rejected
from shared.prediction import Reason

Read = Callable[[int, int], bytes]  # (start, stop) → those bytes of the file, fewer at its end
_FIRST_READ = 64 << 10  # bytes
_LARGEST_READ = 1 << 20  # bytes


class Measure(NamedTuple):
    """A picture's size in px as stored, and its EXIF orientation (1 to 8)."""

    width: int
    height: int
    orientation: int


class Source:
    """The bytes of one file, fetched when they are asked for."""

    def __init__(self, read: Read, size: int) -> None:
        self.size = size
        self._read = read
        self._step = _FIRST_READ
        self._start = 0
        self._window = b""

    def take(self, start: int, count: int) -> bytes:
        """Exactly `count` bytes from `start`. Raises `Rejected` (CORRUPT_IMAGE) where the file ends before."""
        if start + count > self.size:
            raise cut_off()
        if start < self._start or start + count > self._start + len(self._window):
            self._fetch(start, count)
        offset = start - self._start
        return self._window[offset : offset + count]

    def number(self, start: int, count: int, order: str = "big") -> int:
        """An unsigned integer of `count` bytes."""
        return int.from_bytes(self.take(start, count), "little" if order == "little" else "big")

    def _fetch(self, start: int, count: int) -> None:
        self._window = self._read(start, min(start + max(count, self._step), self.size))
        self._start = start
        self._step = min(2 * self._step, _LARGEST_READ)
        if len(self._window) < count:
            raise cut_off()


def cut_off() -> Rejected:
    return Rejected(Reason.CORRUPT_IMAGE, "The file is cut off: its end is missing.")


def damaged(what: str) -> Rejected:
    return Rejected(Reason.CORRUPT_IMAGE, f"The file is damaged: {what}.")
