"""From an upright photo to the uint8 pixels the network sees: the one path of training, evaluation and serving."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference_container.shapes import target_shape

Shape = tuple[int, int]  # (w, h) in px
Box = tuple[float, float, float, float]  # left, top, right, bottom in px
Resize = Callable[[Image.Image, Shape, Box], Image.Image]

GAP = 2.0  # a picture is first reduced by a whole factor that leaves it so many times its target


def resize(image: Image.Image, shape: Shape, box: Box) -> Image.Image:
    """The `box` of `image` at `shape`, with the filter that serving and training share. Its quick twin: `resample`."""
    return image.resize(shape, Image.Resampling.BILINEAR, box=box, reducing_gap=GAP)


def to_model_size(image: Image.Image, input_size: int, resize: Resize = resize) -> NDArray[np.uint8]:
    """An upright RGB photo -> uint8 (h, w, 3) at its target shape.

    Stays in uint8: PIL reduces by whole factors first (`reducing_gap`), then filters; float pixels would cost four
    times the memory of the photo.
    """
    shape = target_shape(image.width, image.height, input_size)
    return np.asarray(resize(image, shape, whole(image)), dtype=np.uint8)


def whole(image: Image.Image) -> Box:
    return (0.0, 0.0, float(image.width), float(image.height))
