"""The claims that this instance holds, and what becomes of each: committed, abandoned or given back (ADR 0001).

Blocking calls of the ports run on threads; which outcome to write is decided in `push`.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

from inference_container.manifest import Manifest
from inference_container.turns import Turns
from shared import delivery, ids
from shared.delivery import Claim, Refusal
from shared.errors import Conflict
from shared.events import SegmentRequested
from shared.gathering import Gathering
from shared.outcomes import together
from shared.ports import ObjectInfo
from shared.prediction import Prediction
from shared.results import File, objects_of
from shared.runtime import Runtime

TOPIC = "segment"
Making = Callable[..., Awaitable[Any]]  # of a blocking call and its arguments


def _gathered(block: Callable[[], AbstractContextManager[object]], pause: Callable[[], float]) -> Making:
    """Calls that share `block`."""
    gathering: Gathering[Callable[[], Any], Any] = Gathering(
        lambda calls: together(block, lambda call: call(), calls), pause
    )
    return lambda call, *arguments, **named: gathering.run(functools.partial(call, *arguments, **named))


class Claims:
    """For one event loop. `threads`: how many photos may talk to the stores at once; `pause`: how many seconds a write
    may wait for others to share its commit, where they can."""

    def __init__(self, runtime: Runtime, threads: int, pause: Callable[[], float] = lambda: 0.0) -> None:
        self.runtime = runtime
        self.working: set[asyncio.Task[Any]] = set()
        self.turns = Turns()
        self._threads = ThreadPoolExecutor(threads, "store")
        self._store = runtime.store
        self._documents: Making = self._blocking
        self._objects: Making = self._blocking
        if runtime.together is not None:
            self._documents = _gathered(runtime.together.documents, pause)
            self._objects = _gathered(runtime.together.objects, pause)

    async def _blocking(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, functools.partial(call, *arguments, **named)
        )

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While the current task holds a claim; `interrupt` cancels these tasks."""
        task = asyncio.current_task()
        assert task is not None
        self.working.add(task)
        try:
            yield
        finally:
            self.working.discard(task)

    async def drain(self, seconds: float) -> None:
        """Let work end by itself for so long, then interrupt the rest: each gives its claim back."""
        if self.working:
            _, late = await asyncio.wait(self.working, timeout=seconds)
            for task in late & self.working:
                task.cancel()

    async def claim(self, request: SegmentRequested, manifest: Manifest, alone: bool) -> Claim | Refusal:
        settings = self.runtime.settings
        taken: Claim | Refusal = await self._documents(
            delivery.claim,
            self._store,
            request.prediction_id,
            request.generation,
            lease=timedelta(seconds=settings.lease_seconds),
            max_claims=settings.max_claims,
            model={"name": manifest.name, "version": manifest.version},
            alone=alone,
        )
        return taken

    async def fetch(self, prediction: Prediction) -> tuple[bytes, str]:
        """The photo and its sha256 (hex). Raises `NotFound` when that generation is gone."""
        fetched: tuple[bytes, str] = await self._blocking(self._fetch, prediction)
        return fetched

    def _fetch(self, prediction: Prediction) -> tuple[bytes, str]:
        data = self.runtime.objects.get(prediction.bucket, prediction.object, prediction.generation)
        return data, hashlib.sha256(data).hexdigest()

    async def store(self, held: Claim, files: Mapping[File, bytes]) -> list[ObjectInfo]:
        """Durable when it returns, in the order of `files`."""
        stored: list[ObjectInfo] = await asyncio.gather(
            *(self._objects(self._put, held, file, data) for file, data in files.items())
        )
        return stored

    def _put(self, held: Claim, file: File, data: bytes) -> ObjectInfo:
        """The path is this claim's alone, so what lies there already is this very file."""
        objects, bucket = self.runtime.objects, self.runtime.settings.results_bucket
        name = ids.result_name(held.prediction.id, held.prediction.generation, held.fence, file.name)
        try:
            return objects.put(bucket, name, data, file.content_type, if_generation_match=0)
        except Conflict:
            return objects.stat(bucket, name)

    async def commit(self, held: Claim, outcome: Prediction) -> bool:
        """False: fenced, and what was stored is deleted."""
        won: bool = await self._documents(delivery.commit, self._store, held, outcome)
        if not won:
            await self._blocking(self._delete, outcome)
        return won

    def _delete(self, outcome: Prediction) -> None:
        for name in objects_of(outcome.result):
            self.runtime.objects.delete(outcome.result["bucket"], name)

    async def abandon(self, held: Claim) -> None:
        await self._blocking(delivery.abandon, self._store, held)

    async def give_back(self, held: Claim, request: SegmentRequested) -> bool:
        """The claim does not count, and the message is on the queue again. False: it was not mine any more."""
        mine: bool = await self._blocking(self._give_back, held, request)
        return mine

    def _give_back(self, held: Claim, request: SegmentRequested) -> bool:
        mine = delivery.give_back(self._store, held)
        if mine:
            self.runtime.topics.publish(TOPIC, *request.to_message())
        return mine
