"""Giant photos, one at a time in a whole instance: across the threads of a process and the workers forked from it."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_thread = threading.Lock()
_instance = os.memfd_create("giants")  # nothing is in it: a record lock ends with the process that holds it


@contextmanager
def alone() -> Iterator[None]:
    with _thread:
        fcntl.lockf(_instance, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(_instance, fcntl.LOCK_UN)
