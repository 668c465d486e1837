"""A device without torch. The colour of a photo says what becomes of it; others get their colour's class.

red: the process aborts. green: the answer is not finite. blue: a sticky device error. `STUB_SECONDS`: s per batch.
`STUB_MOST`: photos beyond which a batch does not fit into memory. `STUB_LOG`: a file that gets a line for every batch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference_container.faults import DeviceBroken, OutOfMemory
from inference_container.manifest import STARTER, check_files

__all__ = ["STARTER", "Device"]
Pixels = NDArray[np.uint8]


class Device:
    def __init__(self, directory: Path, name: str) -> None:
        self.kind = "cpu"
        self.manifest = check_files(directory)
        self._seconds = float(os.environ.get("STUB_SECONDS", "0"))
        self._most = int(os.environ.get("STUB_MOST", "1000000"))

    def warm_up(self) -> None:
        pass

    def segment(self, photos: Sequence[Pixels]) -> list[Pixels | None]:
        colours = [tuple(int(part) for part in one.mean((0, 1))) for one in photos]
        self._tell(f"{os.getpid()} {len(photos)} {self._most}")
        time.sleep(self._seconds)
        if any(red > 200 and green < 50 and blue < 50 for red, green, blue in colours):
            os.abort()
        if any(blue > 200 and red < 50 and green < 50 for red, green, blue in colours):
            raise DeviceBroken("CUDA error: an illegal memory access was encountered")
        if len(photos) > self._most:
            raise OutOfMemory("the photo did not fit into memory")
        return [self._answer(one, colour) for one, colour in zip(photos, colours, strict=True)]

    def _answer(self, photo: Pixels, colour: tuple[int, ...]) -> Pixels | None:
        red, green, blue = colour
        if green > 200 and red < 50 and blue < 50:
            return None
        stride = self.manifest.output_stride
        size = photo.shape[0] // stride, photo.shape[1] // stride
        return np.full(size, red * len(self.manifest.classes) // 256, np.uint8)

    def _tell(self, line: str) -> None:
        if path := os.environ.get("STUB_LOG"):
            with open(path, "a") as file:
                file.write(line + "\n")
