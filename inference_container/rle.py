"""COCO's run-length encoding of one class: the photo's columns from the left, each read downwards.

Lengths of outside and inside take turns, outside first. In the text that COCO's own tools read, a length from the
fourth on is the difference to the one but one before it; in groups of 5 bits, lowest first; bit 5 says that another
group follows; 48 is added, which makes it printable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_container.cells import Cells

_SHIFTS = 5 * np.arange(6)  # 30 bits: more than the pixels of any photo


def rle(cells: Cells, class_id: int) -> dict[str, Any]:
    return {"size": [cells.height, cells.width], "counts": _text(_lengths(cells, class_id))}


def _lengths(cells: Cells, class_id: int) -> NDArray[np.int64]:
    columns = np.repeat(cells.ids == class_id, np.diff(cells.xs), axis=1).T
    turns = np.flatnonzero(np.diff(columns.ravel(), prepend=False))
    column, row = np.divmod(turns, columns.shape[1])
    return np.diff(column * cells.height + cells.ys[row], prepend=0, append=cells.width * cells.height)


def _text(lengths: NDArray[np.int64]) -> str:
    numbers = lengths.copy()
    numbers[3:] -= lengths[1:-2]
    groups = numbers[:, None] >> _SHIFTS & 31
    rest = numbers[:, None] >> _SHIFTS + 5
    more = rest != np.where(groups & 16, -1, 0)  # the highest bit written is the sign
    written = np.column_stack([np.ones(len(numbers), bool), more[:, :-1]])
    return bytes((groups + 32 * more + 48)[written].astype(np.uint8)).decode("ascii")
