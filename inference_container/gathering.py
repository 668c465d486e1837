"""Blocking calls that share what is dear about them: on one machine, the commit that waits for the disk.

Whatever is asked for while a group is on its way, or within the pause before it, forms the next group. One thread makes
the calls of a group, which also costs less than a thread for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

Call = Callable[[], Any]


class Gathering:
    """For one event loop. `together`: what surrounds the calls of a group; `pause`: how many seconds a group may wait
    for company."""

    def __init__(self, together: Callable[[], AbstractContextManager[object]], pause: Callable[[], float]) -> None:
        self._together = together
        self._pause = pause
        self._thread = ThreadPoolExecutor(1, "group")
        self._calls: list[tuple[Call, asyncio.Future[Any]]] = []
        self._work: asyncio.Task[None] | None = None

    async def run(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """The call's answer or exception, once its group is complete. Cancelled before that group begins, it is not
        made."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls.append((partial(call, *arguments, **named), answer))
        if self._work is None:
            self._work = asyncio.create_task(self._empty())
        return await answer

    async def _empty(self) -> None:
        try:
            while self._calls:
                await asyncio.sleep(self._pause())
                group = [(call, answer) for call, answer in self._calls if not answer.done()]
                self._calls = []
                await self._make(group)
        finally:
            self._work = None

    async def _make(self, group: list[tuple[Call, asyncio.Future[Any]]]) -> None:
        calls = [call for call, _ in group]
        outcomes = await asyncio.get_running_loop().run_in_executor(self._thread, self._made, calls)
        for (_, answer), (value, error) in zip(group, outcomes, strict=True):
            if answer.done():
                continue  # cancelled meanwhile
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(error)

    def _made(self, calls: list[Call]) -> list[tuple[Any, Exception | None]]:
        try:
            with self._together():
                return [_outcome(call) for call in calls]
        except Exception as error:  # nothing of it happened
            return [(None, error)] * len(calls)


def _outcome(call: Call) -> tuple[Any, Exception | None]:
    try:
        return call(), None
    except Exception as error:
        return None, error
