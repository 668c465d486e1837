"""Give memory back that photos have left behind.

glibc keeps what was freed in pools, one per thread, and photos of many sizes leave holes in them: an instance grew by
5 % in ten minutes without holding anything. Every few seconds the holes go back to the system.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys

PERIOD = 10.0  # s; a trim takes some milliseconds


async def keep_trimmed() -> None:
    """Until cancelled. Does nothing where the allocator is not glibc's."""
    trim = trimmer()
    while trim is not None:
        await asyncio.sleep(PERIOD)
        await asyncio.to_thread(trim, 0)


def trimmer() -> ctypes._NamedFuncPointer | None:
    """`malloc_trim(0)` of glibc, where that is the allocator."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except AttributeError:  # musl
        return None
