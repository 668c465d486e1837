"""The device: with `graphs` all of torch that serving knows, at home in processes of its own (`worker`).

Photos go in as uint8 pixels of one shape, maps of class ids come out. On a GPU: pinned buffers, half precision, graphs.
On a CPU one torch thread: threads that share one forward wait for each other by spinning, which on cores that also
decode photos made a forward 60 times slower (9 → 540 ms).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_container import bundle
from inference_container.faults import DeviceBroken, OutOfMemory
from inference_container.graphs import Graphs
from inference_container.manifest import Manifest
from inference_container.readout import class_ids
from shared.errors import Misconfigured, Retryable

Pixels = NDArray[np.uint8]  # (h, w, 3) RGB at model shape
ClassMap = NDArray[np.uint8]  # (h, w) class ids at model shape

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def pick(name: str) -> str:
    """Turn cpu, cuda or auto into cpu or cuda. Raises `Misconfigured` when the GPU asked for is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise Misconfigured("--device cuda: this machine has no GPU that torch can use")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


class Device:
    """A loaded model on its device. Raises what `bundle.load` raises, and `Misconfigured`."""

    def __init__(self, directory: Path, name: str) -> None:
        self.kind = pick(name)
        torch.set_num_threads(1)
        loaded = bundle.load(directory, self.kind)
        self.manifest: Manifest = loaded.manifest
        self._module = loaded.module.half() if self.kind == "cuda" else loaded.module
        self._graphs = Graphs(self.forward) if self.kind == "cuda" else None
        self._staged = torch.empty(0, dtype=torch.uint8)  # pinned, once it is used

    def warm_up(self) -> None:
        """One forward at the model's own size: the first photo must not pay for setting up its convolutions."""
        side = self.manifest.input_size // 32 * 32
        self.segment([np.zeros((side, side, 3), np.uint8)])

    def segment(self, photos: Sequence[Pixels]) -> list[ClassMap | None]:
        """One map per photo; None where the network's answer was not finite. All photos have one shape.

        Raises `OutOfMemory` (a smaller batch may fit), `DeviceBroken` (only a new process helps), or `Retryable`.
        """
        try:
            return self._segment(photos)
        except RuntimeError as error:  # torch's own errors are RuntimeErrors; the text of a CPU's says "memory"
            if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _NO_MEMORY):
                torch.cuda.empty_cache()  # what is held in pieces is no use to the halves; does nothing on a CPU
                raise OutOfMemory("the photo did not fit into memory") from error
            if self.kind == "cuda":
                raise DeviceBroken("the device failed") from error
            raise Retryable("the network failed on this photo") from error

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (n, h, w, 3) -> whether each answer is finite (n,), and class ids (n, h, w)."""
        logits = self._module(photos.permute(0, 3, 1, 2))  # a transposed view: it is channels last already
        finite = logits.sum((1, 2, 3), dtype=torch.float32).isfinite()  # NaN and inf survive a sum
        return finite, class_ids(logits, self.manifest.output_stride)

    @torch.inference_mode()
    def _segment(self, photos: Sequence[Pixels]) -> list[ClassMap | None]:
        moved = self._moved(photos)
        finite, classes = self._graphs(moved) if self._graphs else self.forward(moved)
        maps = classes.cpu().numpy()
        return [one if good else None for one, good in zip(maps, finite.tolist(), strict=True)]

    def _moved(self, photos: Sequence[Pixels]) -> Tensor:
        """uint8 (n, h, w, 3) on the device."""
        if self.kind == "cpu":
            return torch.from_numpy(np.stack(photos))
        staged = self._pinned((len(photos), *photos[0].shape))
        np.stack(photos, out=staged.numpy())
        # The same buffer is filled again only after this batch's answer was read back, so the copy may overlap.
        return staged.to(self.kind, non_blocking=True)

    def _pinned(self, shape: tuple[int, ...]) -> Tensor:
        """A part of the pinned buffer, which grows to the largest batch seen."""
        size = math.prod(shape)
        if self._staged.numel() < size:
            self._staged = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        return self._staged[:size].view(shape)
