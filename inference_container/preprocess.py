"""From an upright photo to the uint8 pixels the network sees: the one path of training, evaluation and serving.

No padding: a photo is resized to a near shape of the grid of 32 px, so photos of one shape form a batch as they are.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GRID = 32  # px; the deepest stride of every architecture
MAX_ASPECT = 4.0  # long side over short side at model size
_AREA_WEIGHT = 0.5  # an area off by a factor f costs as much as an aspect off by sqrt(f)


@lru_cache(maxsize=4096)
def target_shape(width: int, height: int, input_size: int) -> tuple[int, int]:
    """(w, h) at model size for an upright photo of width x height px.

    Both are multiples of 32, w * h is close to input_size ** 2, the aspect is kept as near as the grid allows and
    never beyond 4:1. ValueError for sizes below one pixel.
    """
    if min(width, height, input_size) < 1:
        raise ValueError("a photo and an input size have at least one pixel")
    aspect = min(max(width / height, 1 / MAX_ASPECT), MAX_ASPECT)
    return min(_shapes(input_size), key=lambda wh: (_misfit(wh[0], wh[1], aspect, input_size), wh))


def _shapes(input_size: int) -> list[tuple[int, int]]:
    most = math.ceil(2 * input_size / GRID) + 1  # cells of the long side at 4:1
    cells = range(GRID, most * GRID + 1, GRID)
    return [(w, h) for w, h in product(cells, cells) if max(w, h) <= MAX_ASPECT * min(w, h)]


def _misfit(w: int, h: int, aspect: float, input_size: int) -> float:
    return abs(math.log(w / h / aspect)) + _AREA_WEIGHT * abs(math.log(w * h / input_size**2))


def to_model_size(image: Image.Image, input_size: int) -> NDArray[np.uint8]:
    """An upright RGB photo -> uint8 (h, w, 3) at its target shape.

    Stays in uint8: PIL reduces by whole factors first (`reducing_gap`), then filters; float pixels would cost four
    times the memory of the photo.
    """
    shape = target_shape(image.width, image.height, input_size)
    return np.asarray(resize(image, shape), dtype=np.uint8)


def resize(image: Image.Image, shape: tuple[int, int], box: Any = None) -> Image.Image:
    """`image` (or its `box`, in px) at `shape` (w, h), with the filter that serving and training share."""
    return image.resize(shape, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
