"""The files beside the mask: they agree with it, and are made only if asked for."""

from __future__ import annotations

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from inference_container.cells import laid_out
from inference_container.decode import Photo
from inference_container.encode import encode
from inference_container.manifest import ClassInfo
from inference_container.outputs import Found, make
from shared.results import OUTPUTS

CLASSES = (ClassInfo(0, "background", "#000000"), ClassInfo(1, "cat", "#ff0000"), ClassInfo(2, "dog", "#00ff00"))


def found(width: int, height: int) -> Found:
    """A grey photo whose right half is a cat."""
    classes = np.zeros((32, 64), np.uint8)
    classes[:, 32:] = 1
    photo = Photo(np.full((64, 128, 3), 100, np.uint8), width, height, "image/png")
    return Found(photo, classes, laid_out(classes, width, height), CLASSES)


def test_nothing_is_made_that_nobody_asked_for() -> None:
    assert make((), found(200, 100)) == {}
    assert list(make(("polygons",), found(200, 100))) == ["polygons"]


@pytest.mark.parametrize("name", ["rle", "polygons"])
def test_the_classes_are_those_of_the_mask(name: str) -> None:
    one = found(200, 100)
    document = json.loads(make((name,), one)[name])
    mask = encode(one.cells, CLASSES).classes
    assert (document["width"], document["height"]) == (200, 100)
    assert [(row["id"], row["name"]) for row in document["classes"]] == [(row["id"], row["name"]) for row in mask]
    assert all(row[name] for row in document["classes"])


def test_polygons_are_in_pixels_of_the_photo() -> None:
    document = json.loads(make(("polygons",), found(200, 100))["polygons"])
    assert document["classes"][1]["polygons"] == [{"outer": [100, 0, 200, 0, 200, 100, 100, 100], "holes": []}]


@pytest.mark.parametrize(
    ("photo", "size"),
    [((4000, 2000), (512, 256)), ((200, 100), (200, 100)), ((16384, 164), (512, 5)), ((16, 16), (16, 16))],
)
def test_a_preview_is_small_and_has_the_photos_proportions(photo: tuple[int, int], size: tuple[int, int]) -> None:
    image = Image.open(BytesIO(make(("preview",), found(*photo))["preview"]))
    assert (image.format, image.size) == ("JPEG", size)


def test_a_preview_shows_the_photo_under_the_colours_of_its_classes() -> None:
    pixels = np.asarray(Image.open(BytesIO(make(("preview",), found(200, 100))["preview"]))).astype(int)
    assert np.abs(pixels[50, 50] - [100, 100, 100]).max() < 8  # background: the photo alone
    assert np.abs(pixels[50, 150] - [178, 50, 50]).max() < 8  # half red


def test_every_output_that_can_be_asked_for_can_be_made() -> None:
    assert set(make(OUTPUTS, found(200, 100))) == set(OUTPUTS)
