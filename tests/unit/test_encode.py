"""The mask is what Pillow's nearest resize of the class map would be, and says so of itself."""

from __future__ import annotations

import hashlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from inference_container.cells import ClassMap, laid_out
from inference_container.encode import encode
from inference_container.manifest import ClassInfo
from inference_container.segmented import Encoded
from shared.limits import MAX_SIDE, MIN_SIDE

SIDES = st.integers(MIN_SIDE, 300)


def palette(count: int) -> list[ClassInfo]:
    return [ClassInfo(at, f"class {at}", f"#{at:02x}{255 - at:02x}80") for at in range(count)]


@st.composite
def maps(draw: st.DrawFn) -> tuple[ClassMap, int]:
    """A class map, and how many classes its model knows."""
    count = draw(st.sampled_from([2, 3, 4, 5, 16, 17, 256]))
    shape = st.tuples(st.integers(1, 40), st.integers(1, 40))
    return draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, count - 1))), count


def masked(classes: ClassMap, count: int, width: int, height: int) -> Encoded:
    return encode(laid_out(classes, width, height), palette(count))


def resized(classes: ClassMap, width: int, height: int) -> ClassMap:
    return np.asarray(Image.fromarray(classes).resize((width, height), Image.Resampling.NEAREST))


def decoded(mask: Encoded) -> Image.Image:
    image = Image.open(BytesIO(mask.png))
    image.load()
    return image


@settings(deadline=None, max_examples=50)
@given(maps(), SIDES, SIDES)
def test_the_pixels_are_the_class_map_resized(drawn: tuple[ClassMap, int], width: int, height: int) -> None:
    classes, count = drawn
    image = decoded(masked(classes, count, width, height))
    assert image.mode == "P"
    assert np.array_equal(np.asarray(image), resized(classes, width, height))


@settings(deadline=None, max_examples=50)
@given(maps(), SIDES, SIDES)
def test_areas_and_boxes_are_those_of_the_pixels(drawn: tuple[ClassMap, int], width: int, height: int) -> None:
    classes, count = drawn
    rows = {row["id"]: row for row in masked(classes, count, width, height).classes}
    pixels = resized(classes, width, height)
    assert list(rows) == np.unique(pixels).tolist()
    for class_id, row in rows.items():
        ys, xs = np.nonzero(pixels == class_id)
        left, top, wide, high = row["box"]
        assert (left, top, left + wide - 1, top + high - 1) == (xs.min(), ys.min(), xs.max(), ys.max())
        assert row["pixels"] == len(xs)
        assert row["fraction"] == len(xs) / (width * height)
        assert row["name"] == f"class {class_id}"


@pytest.mark.parametrize(("width", "height"), [(MAX_SIDE, 164), (164, MAX_SIDE), (MAX_SIDE, 3051), (1023, 4001)])
def test_the_largest_photos(width: int, height: int) -> None:
    classes = np.random.default_rng(1).integers(0, 4, (224, 112), dtype=np.uint8)
    assert np.array_equal(np.asarray(decoded(masked(classes, 4, width, height))), resized(classes, width, height))


@pytest.mark.parametrize(("count", "bits"), [(2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)])
def test_a_pixel_takes_as_few_bits_as_the_classes_allow(count: int, bits: int) -> None:
    mask = masked(np.zeros((2, 2), np.uint8), count, 20, 20)
    assert mask.png[24] == bits


def test_the_palette_holds_the_colours_of_the_model() -> None:
    image = decoded(masked(np.array([[0, 1], [2, 1]], np.uint8), 3, 16, 16))
    assert image.convert("RGB").getpixel((0, 0)) == (0, 255, 128)
    assert image.convert("RGB").getpixel((0, 15)) == (2, 253, 128)


def test_the_digest_is_that_of_the_file() -> None:
    mask = masked(np.zeros((3, 5), np.uint8), 4, 50, 30)
    assert mask.sha256 == hashlib.sha256(mask.png).hexdigest()
