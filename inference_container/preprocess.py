"""From an upright photo to the uint8 pixels the network sees: the one path of training, evaluation and serving."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference_container.shapes import target_shape


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
