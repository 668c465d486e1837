"""Ports block, so calls to them leave the event loop: a bounded number of threads per process. What a call must do many
times it does side by side, in as many threads again: in its own pool it could wait for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import ParamSpec, TypeVar

_THREADS = 16

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@lru_cache(maxsize=2)
def _pool(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix=name)


async def in_thread(call: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    return await asyncio.get_running_loop().run_in_executor(_pool("api"), partial(call, *arguments, **named))


def side_by_side(call: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`call` of each item, in their order; an error ends it. `call` may not come here again."""
    if len(items) < 2:
        return [call(item) for item in items]
    return list(_pool("side").map(call, items))
