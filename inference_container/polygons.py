"""The outlines of one class: rings around its cells, corners cut, in px of the photo.

Cells that touch only at a corner are apart. Outer rings run clockwise as one sees them, holes the other way. Corners
are cut at the middle of the cells' sides, so that stairs become slopes; along the photo's border nothing is cut. No
outline crosses itself or another one; where more than two regions meet, the cut corners leave a small gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference_container.cells import ClassMap

_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # (rows, columns) per direction: right, down, left, up
_STARTS = ((0, 0), (0, 1), (1, 1), (1, 0))  # the corner of a cell where the side of that direction begins
_RIGHT, _LEFT, _UP = 0, 2, 3


class Side(NamedTuple):
    """A side of a cell, from a corner of the grid in a direction. The cell lies to its right, another class beyond."""

    row: int
    column: int
    direction: int


Ring = list[Side]
Points = list[tuple[int, int]]  # (row, column) in half cells


def polygons(classes: ClassMap, class_id: int, width: int, height: int) -> list[dict[str, Any]]:
    """`[{"outer": ring, "holes": [ring, …]}, …]`; a ring is [x, y, x, y, …] and ends where it began."""
    rows, columns = classes.shape
    scaled = [
        [_scaled(_straightened(_cut(ring, rows, columns)), width / columns / 2, height / rows / 2) for ring in region]
        for region in _regions(classes == class_id)
    ]
    return [{"outer": outer, "holes": holes} for outer, *holes in scaled]


def _regions(inside: NDArray[np.bool_]) -> list[list[Ring]]:
    """The rings of each connected region, the outer one first."""
    rings = list(_rings(inside))
    regions = [[ring] for ring in rings if not _is_hole(ring)]
    owner = {side: region for region in regions for side in region[0]}
    # From the top down: what lies to the left of a hole's upper edge is an outer ring or a higher hole.
    for hole in sorted((ring for ring in rings if _is_hole(ring)), key=_top):
        region = owner[_left_of(_top(hole), owner)]
        region.append(hole)
        owner |= dict.fromkeys(hole, region)
    return regions


def _is_hole(ring: Ring) -> bool:
    lower = sum(side.row for side in ring if side.direction == _LEFT)
    return lower < sum(side.row for side in ring if side.direction == _RIGHT)


def _top(hole: Ring) -> Side:
    return min(side for side in hole if side.direction == _LEFT)


def _left_of(top: Side, owner: dict[Side, list[Ring]]) -> Side:
    """Where somebody leaves the region who walks left along the cells above `top`."""
    walk = (Side(top.row, column, _UP) for column in range(top.column - 1, -1, -1))
    return next(side for side in walk if side in owner)


def _rings(inside: NDArray[np.bool_]) -> Iterator[Ring]:
    sides = dict.fromkeys(_sides(inside))
    while sides:
        ring = [next(iter(sides))]
        while (side := _next(ring[-1], sides)) != ring[0]:
            ring.append(side)
        for side in ring:
            del sides[side]
        yield ring


def _sides(inside: NDArray[np.bool_]) -> Iterator[Side]:
    padded = np.pad(inside, 1)
    for direction, (row, column) in enumerate(_STARTS):
        beyond = np.roll(padded, [-step for step in _STEPS[direction - 1]], (0, 1))
        cells = np.argwhere((padded & ~beyond)[1:-1, 1:-1]).tolist()
        yield from (Side(y + row, x + column, direction) for y, x in cells)


def _next(side: Side, sides: dict[Side, None]) -> Side:
    down, across = _STEPS[side.direction]
    row, column = side.row + down, side.column + across
    turns = (Side(row, column, (side.direction + turn) % 4) for turn in (1, 0, 3))  # right first: stay at this cell
    return next(one for one in turns if one in sides)


def _cut(ring: Ring, rows: int, columns: int) -> Points:
    """The middle of each side; its beginning, too, if that lies on the photo's border."""
    points = []
    for row, column, direction in ring:
        if row in (0, rows) or column in (0, columns):
            points.append((2 * row, 2 * column))
        down, across = _STEPS[direction]
        points.append((2 * row + down, 2 * column + across))
    return points


def _straightened(points: Points) -> Points:
    """Without the points between two that lie on one line with them."""
    around = zip([points[-1], *points], points, [*points[1:], points[0]], strict=False)
    return [(y, x) for (y0, x0), (y, x), (y1, x1) in around if (y - y0) * (x1 - x) != (x - x0) * (y1 - y)]


def _scaled(points: Points, across: float, down: float) -> list[float]:
    return [round(value, 2) for y, x in points for value in (x * across, y * down)]
