"""Accepting on an event loop, whose calls to the stores block."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from shared.accept import accept, accept_all
from shared.events import Uploaded
from shared.gathering import Gathering
from shared.logs import Log
from shared.runtime import Runtime

THREADS = 16  # as many as requests that one instance gets at once: `pipeline.yaml`, a test compares
_PAUSE = 0.002  # s: less than the wait for the disk that those who come meanwhile are spared


def accepting(runtime: Runtime, log: Log) -> Callable[[Uploaded], Awaitable[None]]:
    """What accepts an event, for one event loop. It raises as `accept` does.

    Where writes may share a commit, all events that wait go together; elsewhere each goes by itself, on a thread.
    """
    if runtime.together is not None:
        return Gathering(partial(accept_all, runtime, log), lambda: _PAUSE).run
    threads = ThreadPoolExecutor(THREADS, "accept")

    async def alone(event: Uploaded) -> None:
        await asyncio.get_running_loop().run_in_executor(threads, accept, runtime, event, log)

    return alone
