"""Giant photos, one at a time: across the threads of a process, and on Linux the workers forked from it."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_thread = threading.Lock()
# Nothing is in it: a record lock ends with the process that holds it.
_shared = os.memfd_create("giants") if hasattr(os, "memfd_create") else None


@contextmanager
def alone() -> Iterator[None]:
    with _thread, _among_processes():
        yield


@contextmanager
def _among_processes() -> Iterator[None]:
    if _shared is not None:
        fcntl.lockf(_shared, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if _shared is not None:
            fcntl.lockf(_shared, fcntl.LOCK_UN)
