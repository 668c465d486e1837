"""Loops beside the requests: each goes on whatever happens in it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable

from shared.errors import MasklineError
from shared.logs import Log

_REST = 1.0  # s after a failure


async def forever(name: str, loop: Callable[[], Awaitable[None]], log: Log) -> None:
    """`loop` does not return; if it raises, that is logged, and it starts again."""
    while True:
        try:
            await loop()
        except MasklineError as error:
            log.warning("interrupted", task=name, message=str(error))
        except Exception as error:
            log.error("failed", task=name, error=type(error).__name__, where=where(error))
        await asyncio.sleep(_REST)


def where(error: BaseException) -> list[str]:
    """By function and line: never what was in the variables, nor a path."""
    return [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-5:]]
