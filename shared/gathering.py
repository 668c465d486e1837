"""Work whose dear part can be shared: on one machine, the commit that waits for the disk.

Whatever is asked for while a group is on its way, or within the pause before it, forms the next group. One thread works
for all of a group, which also costs less than a thread for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

from shared.outcomes import at_once

T = TypeVar("T")
R = TypeVar("R")


class Gathering(Generic[T, R]):
    """For one event loop. `work`: what is done for the items of a group, on a thread; it gives each one's answer or
    exception. `pause`: how many seconds a group may wait for company."""

    def __init__(
        self, work: Callable[[Sequence[T]], Sequence[R | Exception]], pause: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._work = work
        self._pause = pause
        self._thread = ThreadPoolExecutor(1, "group")
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._groups: asyncio.Task[None] | None = None

    async def run(self, item: T) -> R:
        """The item's answer or exception, once its group is complete. Cancelled before that group begins, it is no part
        of it."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._groups is None:
            self._groups = asyncio.create_task(self._empty())
        return await answer

    async def _empty(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(self._pause())
                group = [(item, answer) for item, answer in self._waiting if not answer.done()]
                self._waiting = []
                try:
                    await self._serve(group)
                except Exception as error:  # the work's own, not an item's: nobody is left waiting
                    _fail(group, error)
        finally:
            self._groups = None

    async def _serve(self, group: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        outcomes = await self._worked([item for item, _ in group])
        for (_, answer), outcome in zip(group, outcomes, strict=True):
            if answer.done():
                continue  # cancelled meanwhile
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

    async def _worked(self, items: Sequence[T]) -> Sequence[R | Exception]:
        work = partial(at_once, self._work, items)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _fail(group: Sequence[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
    failure = RuntimeError(f"the work for a group broke off ({type(error).__name__})")
    for _, answer in group:
        if not answer.done():
            answer.set_exception(failure)
