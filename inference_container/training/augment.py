"""Random views of photos: crop and stretch, flip, colour, blur, JPEG noise, pasted objects and insets.

Everything stays in PIL and uint8; one view costs about 2 ms, a quarter of a training step of its size at most.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from inference_container.preprocess import resize
from inference_container.training.dataset import ANYTHING, BACKGROUND, Photo

Bytes = NDArray[np.uint8]
View = tuple[Bytes, Bytes]  # photo (h, w, 3) and class bits (h, w)

_PASTE, _INSET = 0.3, 0.15  # share of views that get an object, or a whole small photo, from another one
_GREY, _BLUR, _JPEG = 0.05, 0.1, 0.2


def view(draw: Callable[[], Photo], shape: tuple[int, int], rng: Generator) -> View:
    """A training view at `shape` (w, h) of a photo, at times mixed with a second one; `draw` picks photos."""
    base, choice = _single(draw(), shape, rng), rng.random()
    if choice < _PASTE:
        return paste(base, _single(draw(), shape, rng))
    if choice < _PASTE + _INSET:
        return _inset(base, draw(), shape, rng)
    return base


def _single(photo: Photo, shape: tuple[int, int], rng: Generator) -> View:
    box = window(photo.image.size, shape, rng)
    image = _look(resize(photo.image, shape, box), rng)
    target = photo.target.resize(shape, Image.Resampling.NEAREST, box=box)
    pixels, bits = np.asarray(image), np.asarray(target)
    return (pixels[:, ::-1], bits[:, ::-1]) if rng.random() < 0.5 else (pixels, bits)


def window(size: tuple[int, int], shape: tuple[int, int], rng: Generator) -> tuple[float, float, float, float]:
    """The part of a photo of `size` px to show at `shape`: stretched by up to 1.4, 15 % of the largest fit or more:
    close ones, too, since the sets hold few."""
    if rng.random() < 0.25:  # the whole photo, as serving sees it
        return (0.0, 0.0, float(size[0]), float(size[1]))
    aspect = shape[0] / shape[1] * np.exp(rng.uniform(-0.34, 0.34))
    width = min(size[0], size[1] * aspect) * rng.uniform(0.15, 1.0) ** 0.5
    height = width / aspect
    left, top = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
    return (left, top, left + width, top + height)


def paste(base: View, other: View) -> View:
    """Lay the labelled objects of `other` over `base`: the only photos where people and pets meet."""
    image, bits = base
    labelled = (other[1] & BACKGROUND) == 0
    if not labelled.any():
        return base
    unsure = other[1] == ANYTHING  # the border between object and background: theirs looks, nobody's label
    return (
        np.where((labelled | unsure)[..., None], other[0], image),
        np.where(labelled, other[1], np.where(unsure, np.uint8(ANYTHING), bits)),
    )


def _inset(base: View, photo: Photo, shape: tuple[int, int], rng: Generator) -> View:
    """A whole small photo inside `base`: objects smaller than any crop would show them."""
    scale = rng.uniform(0.4, 0.8)
    small = (int(shape[0] * scale), int(shape[1] * scale))
    left, top = (int(rng.integers(0, full - part + 1)) for full, part in zip(shape, small, strict=True))
    image, bits = base[0].copy(), base[1].copy()
    here = np.s_[top : top + small[1], left : left + small[0]]
    image[here], bits[here] = _single(photo, small, rng)
    return image, bits


def _look(image: Image.Image, rng: Generator) -> Image.Image:
    image = image.point(_tones(rng))
    if rng.random() < _GREY:
        image = image.convert("L").convert("RGB")
    if rng.random() < _BLUR:
        image = image.filter(ImageFilter.BoxBlur(float(rng.uniform(0.5, 1.5))))
    return _recompressed(image, int(rng.integers(20, 80))) if rng.random() < _JPEG else image


def _tones(rng: Generator) -> list[int]:
    """A look-up table of 3 x 256 values: gamma and contrast for all channels, a little gain for each."""
    levels = np.linspace(0.0, 1.0, 256) ** np.exp(rng.uniform(-0.35, 0.35))
    levels = (levels - 0.5) * rng.uniform(0.7, 1.3) + 0.5 + rng.uniform(-0.1, 0.1)
    gains = rng.uniform(0.9, 1.1, 3)
    table = np.clip(np.outer(gains, levels) * 255, 0, 255).astype(np.uint8)
    return [int(value) for value in table.ravel()]


def _recompressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
