"""From the bytes of a photo to its mask: line → worker, one ledger of timings per photo.

Knows no HTTP, no queue, no pixels and no torch. The line is bounded by admission: nobody enters who could not be
served in time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from inference_container.batcher import Batcher
from inference_container.batching import Limits
from inference_container.manifest import Manifest
from inference_container.segmented import Answer, Job, Segmented
from inference_container.shapes import target_shape

Size = tuple[int, int]  # (width, height) in px
UNKNOWN: Size = (0, 0)
_SPARE = 1.25  # shapes of the grid are not exactly input_size ** 2


class Segmenting(Protocol):
    """What the pipeline needs of `workers.Workers`: a `segmenter.Segmenter` in this process will do, too."""

    workers: int

    @property
    def manifest(self) -> Manifest: ...

    def run(self, jobs: Sequence[Job]) -> list[Answer]: ...


@dataclass(slots=True)
class Ledger:
    """Where one photo's time went, in ms by stage."""

    milliseconds: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, seconds: float) -> None:
        self.milliseconds[stage] = round(seconds * 1000, 2)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.add(name, time.monotonic() - started)


class Pipeline:
    """One model at work. `max_batch`: photos in its workers at once; they share them, so that memory does not grow with
    cores. `batch_wait`: s that an incomplete batch waits for photos that are announced."""

    def __init__(self, device: Segmenting, max_batch: int, batch_wait: float) -> None:
        self.manifest = device.manifest
        photos = math.ceil(max_batch / device.workers)
        limits = Limits(photos, int(photos * _SPARE * self.manifest.input_size**2), batch_wait)
        self.batcher = Batcher(device.run, limits, device.workers)

    def coming(self) -> AbstractContextManager[None]:
        """Around what fetches a photo for `segment`: incomplete batches wait for it."""
        return self.batcher.coming()

    async def segment(self, job: Job, ledger: Ledger, size: Size = UNKNOWN, exclusive: bool = False) -> Segmented:
        """`size`: of the upright photo, if it is known; a wrong one costs nothing but time.

        Raises `Rejected` for an unusable photo, `NotFinite`, `OutOfMemory`, `DeviceBroken`, `Retryable`, or another
        `MasklineError` for what nobody foresaw."""
        shape = target_shape(*size, self.manifest.input_size) if all(size) else (0, 0)
        ran = await self.batcher.submit(job, shape, size[0] * size[1], exclusive)
        ledger.add("batchWait", ran.waited)
        for stage, seconds in ran.segmented.seconds.items():
            ledger.add(stage, seconds)
        return ran.segmented

    def close(self) -> None:
        self.batcher.close()
