"""Numbered training batches: batch k is the same whatever process makes it, so a run can stop and go on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from inference_container.shapes import target_shape
from inference_container.training.augment import view
from inference_container.training.dataset import Photo

_ZOOMS = (0.875, 1.0, 1.125)  # of a batch's size: a network of one size loses at its neighbours


@dataclass(frozen=True)
class Plan:
    """Length and shape of a run. `sizes`: (share of the steps done, input size in px), in rising order of share.
    `rate`: the highest learning rate."""

    passes: int
    batch: int
    seed: int
    sizes: tuple[tuple[float, int], ...]
    rate: float = 2e-3

    def steps(self, photos: int) -> int:
        """Optimiser steps of the whole run; a pass draws as many photos as the set holds."""
        return self.passes * photos // self.batch

    def size_at(self, share: float) -> int:
        """Input size once `share` (0..1) of the steps is done: small photos first, as most learning needs no more."""
        return [size for start, size in self.sizes if start <= share][-1]


class Draws(Dataset[tuple[Tensor, Tensor]]):
    """Item k: batch k as uint8 photos (N, 3, H, W), channels last, and class bits (N, H, W)."""

    def __init__(self, photos: list[Photo], plan: Plan) -> None:
        self._photos, self._plan = photos, plan
        weights = np.array([photo.draw for photo in photos])
        self._ladder = np.cumsum(weights / weights.sum())

    def __len__(self) -> int:
        return self._plan.steps(len(self._photos))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self._plan.seed, index))
        size = round(self._plan.size_at(index / len(self)) * rng.choice(_ZOOMS))
        width, height = shape = target_shape(*self._draw(rng).image.size, size)  # a batch has the shape of some photo
        photos = np.empty((self._plan.batch, height, width, 3), np.uint8)
        bits = np.empty((self._plan.batch, height, width), np.uint8)
        for row in range(self._plan.batch):
            photos[row], bits[row] = view(lambda: self._draw(rng), shape, rng)
        return torch.from_numpy(photos).permute(0, 3, 1, 2), torch.from_numpy(bits)

    def _draw(self, rng: np.random.Generator) -> Photo:
        place = int(np.searchsorted(self._ladder, rng.random()))
        return self._photos[min(place, len(self._photos) - 1)]
