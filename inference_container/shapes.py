"""The shapes that photos have at model size: pure arithmetic, no pixels.

No padding: a photo is resized to a near shape of the grid of 32 px, so photos of one shape form a batch as they are.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product

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
