"""Outlines: closed, apart, the right way round, and around what they should be around."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw

from inference_container.cells import ClassMap
from inference_container.polygons import polygons

MAPS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1))
CELL = 10  # px


def drawn(*rows: str) -> ClassMap:
    return np.array([[letter == "#" for letter in row] for row in rows], np.uint8)


def outlines(classes: ClassMap) -> list[dict[str, Any]]:
    return polygons(classes, 1, classes.shape[1] * CELL, classes.shape[0] * CELL)


def points(ring: list[float]) -> list[tuple[float, float]]:
    return list(zip(ring[::2], ring[1::2], strict=True))


def area(ring: list[float]) -> float:
    """Positive if the ring runs clockwise, y pointing down."""
    corners = points(ring)
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise([*corners, corners[0]])) / 2


@settings(deadline=None, max_examples=100)
@given(MAPS)
def test_the_middle_of_a_cell_is_inside_exactly_if_the_cell_is(classes: ClassMap) -> None:
    height, width = (side * CELL for side in classes.shape)
    image = Image.new("1", (width, height))
    for region in outlines(classes):
        one = Image.new("1", image.size)
        draw = ImageDraw.Draw(one)
        draw.polygon(region["outer"], fill=1)
        for hole in region["holes"]:
            draw.polygon(hole, fill=0)
        image.paste(1, mask=one)
    assert np.array_equal(np.asarray(image)[CELL // 2 :: CELL, CELL // 2 :: CELL], classes == 1)


@settings(deadline=None, max_examples=100)
@given(MAPS)
def test_outer_rings_run_clockwise_holes_the_other_way_and_lie_within(classes: ClassMap) -> None:
    for region in outlines(classes):
        assert area(region["outer"]) > 0
        xs, ys = region["outer"][::2], region["outer"][1::2]
        for hole in region["holes"]:
            assert area(hole) < 0
            assert min(xs) < min(hole[::2]) and max(hole[::2]) < max(xs)  # noqa: PT018
            assert min(ys) < min(hole[1::2]) and max(hole[1::2]) < max(ys)  # noqa: PT018
        whole = area(region["outer"]) + sum(map(area, region["holes"]))
        assert whole > 0


def test_a_class_that_fills_the_photo_is_the_photo() -> None:
    assert outlines(drawn("##", "##", "##")) == [{"outer": [0, 0, 20, 0, 20, 30, 0, 30], "holes": []}]


def test_corners_are_cut_at_the_middle_of_the_sides() -> None:
    assert outlines(drawn("...", ".#.", "...")) == [{"outer": [15, 10, 20, 15, 15, 20, 10, 15], "holes": []}]


def test_stairs_become_a_slope() -> None:
    (stairs,) = outlines(drawn("#...", "##..", "###.", "####"))
    assert stairs["outer"] == [0, 0, 10, 0, 10, 5, 35, 30, 40, 30, 40, 40, 0, 40]


@pytest.mark.parametrize(
    ("classes", "shape"),
    [
        (drawn("#.", ".#"), [0, 0]),  # touching at a corner: two regions
        (drawn("###", "#.#", "###"), [1]),
        (drawn("#####", "#.#.#", "#####"), [2]),
        (drawn("####", "#..#", "#.##", "####"), [1]),
        (drawn("####", "#.##", "##.#", "####"), [1]),  # the hole's cells touch at a corner
        (drawn("#####", "#...#", "#.#.#", "#...#", "#####"), [1, 0]),  # an island in a lake
    ],
)
def test_regions_own_their_holes(classes: ClassMap, shape: list[int]) -> None:
    assert [len(region["holes"]) for region in outlines(classes)] == shape


def test_a_photo_may_be_smaller_than_its_map() -> None:
    (region,) = polygons(np.ones((100, 100), np.uint8), 1, 16, 20)
    assert region["outer"] == [0, 0, 16, 0, 16, 20, 0, 20]
