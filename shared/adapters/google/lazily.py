"""Clients are made by the first call that needs them, once per process: gunicorn loads a function's module and then
forks, and a gRPC channel does not survive that."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from shared.imports import quick_imports

T = TypeVar("T")


class Lazily(Generic[T]):
    """`Lazily(make)()` is `make()`, made once per process."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: tuple[int, T] | None = None

    def __call__(self) -> T:
        made = self._made
        if made is not None and made[0] == os.getpid():
            return made[1]
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                with quick_imports():
                    self._made = os.getpid(), self._make()
            return self._made[1]

    def drop(self, close: Callable[[T], object]) -> None:
        """Forget this process's client, closing it if there is one."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None and made[0] == os.getpid():
            close(made[1])
