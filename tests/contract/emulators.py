"""One emulator of each kind for the whole session, and a project of its own for every test that asks.

Without Java or the SDK a laptop skips; CI, where `CI=true`, fails: there they must run.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from uuid import uuid4

import pytest

from local import emulators
from shared.errors import Misconfigured


@cache
def firestore() -> str:
    """The Firestore emulator's `host:port`."""
    return _started(emulators.start_firestore)


@cache
def pubsub() -> str:
    """The Pub/Sub emulator's `host:port`."""
    return _started(emulators.start_pubsub)


def new_project() -> str:
    """A project that nobody else uses: an emulator keeps each one apart."""
    return f"test-{uuid4().hex[:12]}"


def required() -> None:
    """For tests that start emulators of their own."""
    with _skipping():
        emulators.firestore_command(1)
        emulators.pubsub_command(1)


def _started(start: Callable[[], emulators.Emulator]) -> str:
    with _skipping():
        emulator = start()
    atexit.register(emulator.stop)
    return emulator.host


@contextmanager
def _skipping() -> Iterator[None]:
    try:
        yield
    except Misconfigured as problem:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(problem))
