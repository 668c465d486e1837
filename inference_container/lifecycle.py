"""An instance's life: what its cold start was made of, and the document that says it is there.

The clock starts when this module is imported, first thing in `__main__`: Python's own start (some 20 ms) is not in it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from inference_container.manifest import STARTER, Manifest
from inference_container.workers import Workers
from shared.errors import MasklineError
from shared.events import SegmentRequested
from shared.logs import Log
from shared.ports import Documents

STARTED = time.monotonic()
HEARTBEAT = 10.0  # s
LOST_AFTER = timedelta(seconds=60)  # an instance that has not been heard of for so long is gone


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Milliseconds. `total` runs from the process's start, so it holds more than the three phases."""

    import_ms: float
    weights_ms: float
    warmup_ms: float
    total_ms: float

    def to_data(self) -> dict[str, float]:
        return {
            "importMs": self.import_ms,
            "weightsMs": self.weights_ms,
            "warmupMs": self.warmup_ms,
            "totalMs": self.total_ms,
        }


@dataclass(frozen=True, slots=True)
class Loaded:
    device: Workers
    cold_start: ColdStart


def load_in_thread(directory: Path | None, device: str, most: int) -> Future[Loaded]:
    """Have the bundle (None: the starter) loaded and run once, by at most `most` workers. A thread, so that the port
    answers meanwhile."""
    future: Future[Loaded] = Future()

    def work() -> None:
        try:
            future.set_result(_load(directory or STARTER, device, most))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="load", daemon=True).start()
    return future


def _load(directory: Path, name: str, most: int) -> Loaded:
    device = Workers(directory, name, most)
    phases = [*device.phases, time.monotonic() - STARTED]
    return Loaded(device, ColdStart(*(round(seconds * 1000, 1) for seconds in phases)))


class InstanceRecord:
    """The document `instances/{id}`. Failing to write it is logged and changes nothing else."""

    def __init__(self, documents: Documents, instance_id: str, arm: str, log: Log) -> None:
        self._documents = documents
        self._path = f"instances/{instance_id}"
        self._log = log
        self._data: dict[str, Any] = {
            "state": "starting",
            "arm": arm,
            "startTime": datetime.now(UTC),
            "schemaVersion": SegmentRequested.SCHEMA_VERSION,  # of the messages that it reads
        }
        self._news = asyncio.Event()
        self._one_at_a_time = threading.Lock()

    async def keep(self) -> None:
        """Write it now, every ten seconds and on news, until cancelled."""
        while True:
            self._news.clear()
            await self._in_thread(self._write)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), HEARTBEAT)

    def ready(self, manifest: Manifest, cold_start: ColdStart) -> None:
        self._data |= {
            "state": "ready",
            "model": {"name": manifest.name, "version": manifest.version},
            "readyTime": datetime.now(UTC),
            "coldStart": cold_start.to_data(),
        }
        self._news.set()

    async def remove(self) -> None:
        self._data["state"] = "stopped"  # a heartbeat that is still on its way to a thread writes nothing any more
        await self._in_thread(self._delete)

    async def _in_thread(self, effect: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(effect)
        except (MasklineError, OSError) as error:
            self._log.warning("instance_unrecorded", message=str(error))

    def _write(self) -> None:
        with self._one_at_a_time:
            if self._data["state"] == "stopped":
                return
            now = datetime.now(UTC)
            data = self._data | {"heartbeatTime": now, "expireTime": now + LOST_AFTER}
            if found := self._documents.get(self._path):
                self._documents.replace(self._path, data, found.version)
            else:
                self._documents.create(self._path, data)

    def _delete(self) -> None:
        with self._one_at_a_time:
            self._documents.delete(self._path)
