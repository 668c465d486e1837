"""Many items, each with its own outcome: what it gave, or the exception that it raised.

An exception among the items is one that failed before: it is handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(call: Callable[[T], R], items: Iterable[T | Exception]) -> list[R | Exception]:
    return [item if isinstance(item, Exception) else _outcome(call, item) for item in items]


def together(
    block: Callable[[], AbstractContextManager[object]], call: Callable[[T], R], items: Iterable[T | Exception]
) -> list[R | Exception]:
    """`each` inside a block that makes them last. If the block fails, none of them has happened."""
    items = list(items)
    try:
        with block():
            return each(call, items)
    except Exception as error:
        return [item if isinstance(item, Exception) else error for item in items]


def at_once(call: Callable[[Sequence[T]], Sequence[R | Exception]], items: Sequence[T]) -> Sequence[R | Exception]:
    """By one call for all, which gives each one's outcome; if it raises, that is everybody's. None without items."""
    if not items:
        return []
    try:
        return call(items)
    except Exception as error:
        return [error] * len(items)


def _outcome(call: Callable[[T], R], item: T) -> R | Exception:
    try:
        return call(item)
    except Exception as error:
        return error
