"""Are the answers right? Masks compared, pixel by pixel, with masks that were made offline one by one."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEAST = 0.995  # of the pixels; in a batch, sums are added in another order, and a pixel on the edge may change sides


class Masks:
    """The reference of each photo, by its position, and the worst agreement seen so far.

    `least`: the share of equal pixels below which a mask is wrong.
    """

    def __init__(self, reference: Sequence[bytes], least: float = LEAST) -> None:
        self._reference = reference
        self._least = least
        self.worst = 1.0

    def wrong(self, photo: int, mask: bytes) -> bool:
        if mask == self._reference[photo]:
            return False
        share = agreement(pixels(mask), pixels(self._reference[photo]))
        self.worst = min(self.worst, share)
        return share < self._least


def pixels(mask: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(mask)))


def agreement(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Share of equal pixels; 0 where the sizes differ."""
    return float((one == other).mean()) if one.shape == other.shape else 0.0
