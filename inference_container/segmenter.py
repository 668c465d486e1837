"""A batch from files to masks: decode, forward, encode, one after the other, on the one thread of a worker.

Photos keep to themselves: one that cannot be decoded, or whose answer is not finite, leaves its neighbours alone.
Photos whose shapes differ run one shape after the other. A batch that does not fit into memory is halved, and no batch
grows so large again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import c_double
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference_container import outputs
from inference_container.cells import ClassMap, laid_out
from inference_container.decode import Photo, decode
from inference_container.encode import encode
from inference_container.faults import NotFinite, OutOfMemory
from inference_container.manifest import Manifest
from inference_container.segmented import Answer, Job, Segmented
from shared.errors import MasklineError

Pixels = NDArray[np.uint8]  # (h, w, 3)
Decoded = Photo | MasklineError
Found = ClassMap | MasklineError
Spent = dict[str, float]  # seconds by stage
ANY = 1e18  # px: no batch is known not to fit


class SegmentingDevice(Protocol):
    """What a worker needs of `device.Device`."""

    @property
    def manifest(self) -> Manifest: ...

    def segment(self, photos: Sequence[Pixels]) -> list[ClassMap | None]: ...


class Segmenter:
    """One device at work. `decode`: here, or in a `sandbox`. `fits`: px that are known to fit into a batch, a number
    that workers may share."""

    def __init__(
        self,
        device: SegmentingDevice,
        decode: Callable[[bytes, int], Photo] = decode,
        fits: c_double | None = None,
    ) -> None:
        self.manifest = device.manifest
        self.workers = 1
        self._device = device
        self._decode = decode
        self._fits = fits or c_double(ANY)

    def run(self, jobs: Sequence[Job]) -> list[Answer]:
        """One answer per job, in their order; raises nothing."""
        spent: list[Spent] = [{} for _ in jobs]
        photos: list[Decoded] = [_tried(self._decoded, *one) for one in zip(jobs, spent, strict=True)]
        found = self._classified(photos, spent)
        return [_tried(self._encoded, *one) for one in zip(jobs, photos, found, spent, strict=True)]

    def _decoded(self, job: Job, spent: Spent) -> Photo:
        with _timed(spent, "decode"):
            return self._decode(job.data, self.manifest.input_size)

    def _classified(self, photos: Sequence[Decoded], spent: Sequence[Spent]) -> list[Found]:
        """The class maps of the photos; what is wrong with one stays in its place."""
        found: dict[int, Found] = {}
        for places in self._batches(photos):
            began = time.monotonic()
            pixels = [photo.pixels for place in places if isinstance(photo := photos[place], Photo)]
            found.update(zip(places, self._maps(pixels), strict=True))
            for place in places:
                spent[place]["forward"] = time.monotonic() - began
        return [photo if isinstance(photo, MasklineError) else found[place] for place, photo in enumerate(photos)]

    def _batches(self, photos: Sequence[Decoded]) -> Iterator[list[int]]:
        """Places of photos of one shape, as many as fit."""
        shapes: dict[tuple[int, ...], list[int]] = {}
        for place, photo in enumerate(photos):
            if isinstance(photo, Photo):
                shapes.setdefault(photo.pixels.shape, []).append(place)
        for shape, places in shapes.items():
            room = int(max(1, min(len(places), self._fits.value // (shape[0] * shape[1]))))
            yield from (places[start : start + room] for start in range(0, len(places), room))

    def _maps(self, pixels: Sequence[Pixels]) -> list[Found]:
        try:
            return [NotFinite() if one is None else one for one in self._device.segment(pixels)]
        except (OutOfMemory, MemoryError) as error:
            if len(pixels) == 1:
                return [_known(error)]
            half = len(pixels) // 2
            self._fits.value = min(self._fits.value, half * pixels[0].shape[0] * pixels[0].shape[1])
            return self._maps(pixels[:half]) + self._maps(pixels[half:])
        except Exception as error:
            return [_known(error)] * len(pixels)

    def _encoded(self, job: Job, photo: Decoded, found: Found, spent: Spent) -> Answer:
        if isinstance(photo, MasklineError):
            return photo
        if isinstance(found, MasklineError):
            return found
        with _timed(spent, "encode"):
            cells = laid_out(found, photo.width, photo.height)
            mask = encode(cells, self.manifest.classes)
            further = outputs.make(job.wanted, outputs.Found(photo, found, cells, self.manifest.classes))
        return Segmented(photo.content_type, photo.width, photo.height, mask, further, spent)


def _tried(step: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return step(*arguments)
    except Exception as error:
        return _known(error)


def _known(error: Exception) -> MasklineError:
    """An error in our words: of any other only its name is told."""
    if isinstance(error, MasklineError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemory("the photo did not fit into memory")
    return MasklineError(f"the photo could not be segmented ({type(error).__name__})")


@contextmanager
def _timed(spent: Spent, stage: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    spent[stage] = time.monotonic() - began
