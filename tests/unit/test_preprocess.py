"""The one path from photo to network input: shapes on the grid, bytes in and bytes out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference_container import preprocess, resample
from inference_container.preprocess import to_model_size
from inference_container.shapes import GRID, MAX_ASPECT, target_shape

SIDES = st.integers(1, 20_000)
SIZES = st.sampled_from([64, 128, 192, 224, 256, 512, 1024])


@given(SIDES, SIDES, SIZES)
def test_shape_is_on_the_grid_near_the_area_and_within_four_to_one(width: int, height: int, size: int) -> None:
    w, h = target_shape(width, height, size)
    assert w % GRID == 0
    assert h % GRID == 0
    assert max(w, h) <= MAX_ASPECT * min(w, h)
    assert 0.5 <= w * h / size**2 <= 1.5


@given(SIDES, SIDES, SIZES)
def test_turning_a_photo_turns_its_area(width: int, height: int, size: int) -> None:
    w, h = target_shape(width, height, size)
    turned = target_shape(height, width, size)
    assert abs(np.log((w / h) * (turned[0] / turned[1]))) < 1e-9


@given(st.floats(0.25, 4.0), st.sampled_from([192, 224, 256, 512]))
def test_aspect_is_kept_as_near_as_the_grid_allows(aspect: float, size: int) -> None:
    w, h = target_shape(round(4000 * aspect), 4000, size)
    assert abs(np.log(w / h / aspect)) < np.log(1.25)


@pytest.mark.parametrize(
    ("photo", "size", "shape"),
    [
        ((640, 640), 224, (224, 224)),
        ((4000, 3000), 256, (288, 224)),
        ((3000, 4000), 256, (224, 288)),
        ((20_000, 10), 256, (512, 128)),
        ((1, 1), 32, (32, 32)),
    ],
)
def test_known_shapes(photo: tuple[int, int], size: int, shape: tuple[int, int]) -> None:
    assert target_shape(*photo, size) == shape


@pytest.mark.parametrize("sizes", [(0, 10, 224), (10, -1, 224), (10, 10, 0)])
def test_sizes_below_a_pixel_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        target_shape(*sizes)


def test_photo_becomes_bytes_of_its_target_shape() -> None:
    image = Image.effect_noise((900, 500), 60).convert("RGB")
    pixels = to_model_size(image, 224)
    w, h = target_shape(900, 500, 224)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (h, w, 3)


def test_halves_stay_where_they_are_and_large_photos_are_averaged() -> None:
    fine = np.zeros((2000, 2000, 3), np.uint8)
    fine[:, 1000:] = 255
    fine[::2, :1000] = 100  # single rows that a filter without averaging would keep or drop
    pixels = to_model_size(Image.fromarray(fine), 224)
    assert (pixels[:, 120:] == 255).all()
    assert np.abs(pixels[4:-4, :100].astype(int) - 50).max() <= 12


@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.floats(0, 0.99),
)
@settings(deadline=None)
def test_the_quick_filter_is_the_slow_one_within_a_level_or_two(
    size: tuple[int, int], cells: tuple[int, int], edge: float
) -> None:
    image = Image.effect_noise(size, 90).convert("RGB")
    shape, box = (GRID * cells[0], GRID * cells[1]), (0.0, 0.0, size[0] - edge, size[1] - edge)
    quick, slow = (np.asarray(one.resize(image, shape, box)).astype(int) for one in (resample, preprocess))
    assert np.abs(quick - slow).max() <= 2
