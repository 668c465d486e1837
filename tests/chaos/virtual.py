"""Virtual time: an event loop that jumps to its next timer, blocking code that may wait on it, and what the clocks say.

With it the real code, threads and timeouts included, runs in one thread, as fast as it can, the same way every time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, TypeVar
from unittest import mock

from greenlet import getcurrent, greenlet

T = TypeVar("T")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_CLOCKS = ("shared.accept", "shared.settle", "shared.audit", "inference_container.push", "inference_container.service")


class _Jumps(selectors.SelectSelector):
    """Nothing ever comes from outside: to wait is to let the time pass."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits for somebody else")
        self.now += max(timeout, 0.0)
        return []


class Loop(asyncio.SelectorEventLoop):
    """`skew`: how far the clock of the process that runs now is ahead, in seconds."""

    def __init__(self) -> None:
        self._jumps = _Jumps()
        self.skew = 0.0
        super().__init__(self._jumps)

    def time(self) -> float:
        return self._jumps.now

    @property
    def now(self) -> datetime:
        """The true time."""
        return BEGIN + timedelta(seconds=self.time())


def run(main: Callable[[Loop], Coroutine[Any, Any, T]]) -> T:
    """Run `main` to its end; whoever is still waiting then is not heard of again."""
    loop = Loop()
    loop.set_exception_handler(lambda *_: None)  # what died is not asked for its last words
    try:
        with _told_by(loop):
            result = loop.run_until_complete(main(loop))
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.run_until_complete(loop.shutdown_asyncgens())
        return result
    finally:
        loop.close()


async def blocking(call: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Run blocking code whose calls to `wait` let the others run, as a thread's system calls would."""
    inside = greenlet(call)
    result = inside.switch(*arguments, **named)
    while not inside.dead:
        try:
            value = await result
        except BaseException as error:
            result = inside.throw(error)
        else:
            result = inside.switch(value)
    answer: T = result
    return answer


def wait(what: Awaitable[Any]) -> Any:
    """Inside `blocking`: await `what`."""
    parent = getcurrent().parent
    assert parent is not None, "only code under `blocking` can wait"
    return parent.switch(what)


@contextmanager
def _told_by(loop: Loop) -> Iterator[None]:
    """`datetime.now` of the functions and the container."""

    class Told(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return loop.now + timedelta(seconds=loop.skew)

    patches = [mock.patch(f"{module}.datetime", Told) for module in _CLOCKS]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()
