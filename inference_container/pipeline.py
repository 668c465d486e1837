"""From the bytes of a photo to its mask: decode → batch → forward → encode, one ledger of timings per photo.

Knows no HTTP, no queue and no torch. Threads decode and encode; the batcher's own threads run the device. The stages'
queues are bounded by admission: nobody enters who could not be served in time.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from inference_container import outputs
from inference_container.batcher import Batcher, ClassMap, Pixels
from inference_container.batching import Limits
from inference_container.cells import laid_out
from inference_container.decode import Photo, decode
from inference_container.encode import Encoded, encode
from inference_container.manifest import Manifest

_SPARE = 1.25  # shapes of the grid are not exactly input_size ** 2


class SegmentingDevice(Protocol):
    """What the pipeline needs of `device.Device`."""

    lanes: int

    @property
    def manifest(self) -> Manifest: ...

    def segment(self, photos: Sequence[Pixels]) -> list[ClassMap | None]: ...


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


@dataclass(frozen=True, slots=True)
class Segmented:
    """A photo without its pixels, its mask, and the further outputs by name. `width` x `height` px: upright, and of
    the mask."""

    content_type: str
    width: int
    height: int
    mask: Encoded
    outputs: Mapping[str, bytes] = field(default_factory=dict)


class Pipeline:
    """One model at work. `max_batch`: photos on the device at once; its lanes share them, so that memory does not grow
    with cores. `decode`: here, or in a `sandbox`."""

    def __init__(
        self,
        device: SegmentingDevice,
        max_batch: int,
        batch_wait: float,
        threads: int,
        decode: Callable[[bytes, int], Photo] = decode,
    ) -> None:
        self.manifest = device.manifest
        self._decode = decode
        photos = math.ceil(max_batch / device.lanes)
        limits = Limits(photos, int(photos * _SPARE * self.manifest.input_size**2), batch_wait)
        self.batcher = Batcher(device.segment, limits, device.lanes)
        self._threads = ThreadPoolExecutor(threads, "codec")

    async def segment(
        self, data: bytes, ledger: Ledger, *, exclusive: bool = False, wanted: Sequence[str] = ()
    ) -> Segmented:
        """Raises `Rejected` for an unusable photo, `NotFinite`, `OutOfMemory`, `DeviceBroken`, `Retryable`."""
        loop = asyncio.get_running_loop()
        self.batcher.announce()
        try:
            with ledger.stage("decode"):
                photo = await loop.run_in_executor(self._threads, self._decode, data, self.manifest.input_size)
        except BaseException:
            self.batcher.withdraw()
            raise
        ran = await self.batcher.submit(photo.pixels, exclusive)
        ledger.add("batchWait", ran.waited)
        ledger.add("forward", ran.forward)
        with ledger.stage("encode"):
            return await loop.run_in_executor(self._threads, self._encoded, photo, ran.classes, wanted)

    def _encoded(self, photo: Photo, classes: ClassMap, wanted: Sequence[str]) -> Segmented:
        cells = laid_out(classes, photo.width, photo.height)
        mask = encode(cells, self.manifest.classes)
        further = outputs.make(wanted, outputs.Found(photo, classes, cells, self.manifest.classes))
        return Segmented(photo.content_type, photo.width, photo.height, mask, further)

    def close(self) -> None:
        self.batcher.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
