"""The recipe of `known` on one core: answers lines as a worker of `ceiling` does.

python -m benchmarks.known_loop FOLDER NETWORK
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.ceiling import Watch, photos_in, serve
from benchmarks.known_networks import BUILDERS, folded
from inference_container.cells import laid_out
from inference_container.device import ClassMap, Device, Pixels
from inference_container.encode import png
from inference_container.manifest import STARTER
from inference_container.preprocess import resize, whole
from inference_container.readout import class_ids

SIDE = 256  # px
STRIDE = 2  # of both networks


class Loop:
    """One photo at a time. The masks that are encoded are those that the starter model gives these photos."""

    def __init__(self, files: Sequence[bytes], network: nn.Module) -> None:
        device = Device(STARTER, "cpu")
        self._classes = device.manifest.classes
        self._files, self._network, self._next = files, network, 0
        self._maps = [_found(device, data) for data in files]
        self._watch = Watch()

    @torch.inference_mode()
    def answer(self, _: str, seconds: float) -> dict[str, Any]:
        return self._watch.window(self.step, seconds)

    def step(self) -> int:
        place, self._next = self._next % len(self._files), self._next + 1
        pixels, size = self._watch.timed("decode", lambda: small(self._files[place]))
        self._watch.timed("forward", lambda: self._classified(pixels))
        self._watch.timed("encode", lambda: self.mask(place, size))
        return 1

    def mask(self, place: int, size: tuple[int, int]) -> bytes:
        return png(laid_out(self._maps[place], *size), self._classes)

    def _classified(self, pixels: Pixels) -> ClassMap:
        photo = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
        ids: ClassMap = class_ids(self._network(photo), STRIDE).numpy()
        return ids


def _found(device: Device, data: bytes) -> ClassMap:
    ids = device.segment([small(data)[0]])[0]
    assert ids is not None
    return ids


def small(data: bytes) -> tuple[Pixels, tuple[int, int]]:
    """Pixels of 256 x 256, whatever the photo's shape, and its own size: Pillow alone, without our checks."""
    with Image.open(io.BytesIO(data)) as image:
        size = image.size
        image.draft("RGB", (SIDE, SIDE))
        return np.array(resize(image, (SIDE, SIDE), whole(image))), size


def _work(folder: Path, network: str) -> None:
    torch.set_num_threads(1)
    loop = Loop(photos_in(folder), folded(BUILDERS[network]()))
    loop.answer("loop", 0.5)
    serve(loop.answer)


if __name__ == "__main__":
    _work(Path(sys.argv[1]), sys.argv[2])
