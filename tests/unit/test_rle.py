"""COCO's text says exactly which pixels are of a class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from inference_container.cells import ClassMap, laid_out
from inference_container.rle import rle

MAPS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2))
SIDES = st.integers(16, 200)


def read(text: str) -> list[int]:
    """The lengths, as COCO's format is described."""
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return lengths


def inside(found: dict[str, Any]) -> NDArray[np.bool_]:
    lengths = read(found["counts"])
    height, width = found["size"]
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return pixels.reshape(width, height).T


@settings(deadline=None, max_examples=50)
@given(MAPS, SIDES, SIDES)
def test_the_runs_cover_the_pixels_of_the_class(classes: ClassMap, width: int, height: int) -> None:
    cells = laid_out(classes, width, height)
    pixels = cells.ids.repeat(np.diff(cells.ys), axis=0).repeat(np.diff(cells.xs), axis=1)
    for class_id in np.unique(pixels).tolist():
        assert np.array_equal(inside(rle(cells, class_id)), pixels == class_id)


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        (["1...", "1..."], "026"),  # 0 outside, 2 inside, 6 outside
        (["....", "...1"], "71"),
        ([".1.1.1"], "111000"),
    ],
)
def test_small_pictures_by_hand(rows: list[str], counts: str) -> None:
    classes = np.array([[letter == "1" for letter in row] for row in rows], np.uint8)
    found = rle(laid_out(classes, classes.shape[1], classes.shape[0]), 1)
    assert found == {"size": list(classes.shape), "counts": counts}


def test_long_runs_take_several_letters() -> None:
    classes = np.array([[0, 1]], np.uint8)
    assert read(rle(laid_out(classes, 8000, 6000), 1)["counts"]) == [24_000_000, 24_000_000]
