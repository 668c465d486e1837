"""Loading large libraries, once per process and when they are first needed: what a cold start waits for."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_importing = threading.RLock()


@contextmanager
def quick_imports() -> Iterator[None]:
    """No garbage collection while client libraries load: they make hundreds of thousands of objects, all of which
    stay. Frozen, they are not looked through afterwards either. `benchmarks/functions.py` measures it."""
    with _importing:
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.freeze()
                gc.enable()
