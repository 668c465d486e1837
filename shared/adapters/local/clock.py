"""One clock for every process that has a store open: leases must not depend on whose wall clock says what.

The first process to come (nobody else holds the lock file) notes how far the wall clock is ahead of the time since
boot; everybody adds that to the time since boot, which no clock change moves. When all have gone, the next one starts
from the wall clock again.
"""

from __future__ import annotations

import fcntl
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while a laptop sleeps
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = 20


class Clock:
    """Microseconds since 1970, agreed between processes through the file `path`."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # held open: the shared lock says "I am using it"
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            offset = time.time_ns() - time.clock_gettime_ns(_SINCE_BOOT)
            os.pwrite(self._fd, str(offset).zfill(_DIGITS).encode(), 0)
        except BlockingIOError:
            pass  # somebody came first
        fcntl.flock(self._fd, fcntl.LOCK_SH)
        self._offset = int(os.pread(self._fd, _DIGITS, 0))

    def now(self) -> int:
        return (time.clock_gettime_ns(_SINCE_BOOT) + self._offset) // 1000

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def to_datetime(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
