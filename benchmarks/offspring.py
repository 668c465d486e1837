"""All processes that a server starts, whatever session they move to and whoever started them (Linux).

A daemon leaves its group and its parent: killing the group misses it. Here, whoever loses its parent becomes our own
child, so that it is counted while the server runs and killed when the server ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from benchmarks.processes import children

_ADOPT = 36  # prctl's PR_SET_CHILD_SUBREAPER
PATIENCE = 15.0  # s until the last one must be gone
GONE = (ProcessLookupError, FileNotFoundError, ChildProcessError)


class Offspring:
    """Children of this process that were not there before, and theirs."""

    def __init__(self) -> None:
        self._before = set(children(os.getpid()))

    def pids(self) -> list[int]:
        return [pid for child in self._own() for pid in _tree(child)]

    def total(self, figure: Callable[[int], float]) -> float:
        """Workers come and go: one that ended since it was listed has no figure."""
        found = 0.0
        for pid in self.pids():
            with suppress(*GONE):
                found += figure(pid)
        return found

    def end(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while (pids := self.pids()) and time.monotonic() < deadline:
            for pid in pids:
                with suppress(*GONE):
                    os.kill(pid, signal.SIGKILL)
            for child in self._own():
                with suppress(*GONE):
                    os.waitpid(child, os.WNOHANG)
            time.sleep(0.02)

    def _own(self) -> list[int]:
        return [child for child in children(os.getpid()) if child not in self._before]


@contextmanager
def offspring() -> Iterator[Offspring]:
    """Nothing that starts meanwhile survives."""
    started = Offspring()
    _adopt(True)
    try:
        yield started
    finally:
        started.end()
        _adopt(False)


def _tree(pid: int) -> list[int]:
    return [pid, *(member for child in children(pid) for member in _tree(child))]


def _adopt(wanted: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_ADOPT, int(wanted), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "orphans cannot be adopted")
