"""Random views of photos: crop, stretch and turn, flip, colour, blur, JPEG noise, pasted objects and insets.

Everything stays in PIL and uint8; one view of 256 px costs about 2 ms.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from inference_container.preprocess import resize
from inference_container.training.dataset import ANYTHING, BACKGROUND, Box, Bytes, Photo

View = tuple[Image.Image, Image.Image]  # photo and class bits, of one size
Size = tuple[int, int]  # (w, h)
Window = tuple[float, float, float, float]

_PASTE, _INSET = 0.3, 0.15  # share of views that get an object, or a whole small photo, from another one
_WHOLE, _PORTRAIT = 0.25, 0.1  # share that show all of the photo, or little but the face, where there is one
_TURN, _DEGREES = 0.15, 15.0  # share that are turned, and how far at most
_GREY, _BLUR, _JPEG = 0.05, 0.1, 0.15

_OBJECT = [0 if bits & BACKGROUND else 255 for bits in range(256)]
_BORDER = ANYTHING  # between object and background: an object's looks, nobody's label
_BROUGHT = [255 if bits == _BORDER else alpha for bits, alpha in enumerate(_OBJECT)]


def view(draw: Callable[[], Photo], shape: Size, rng: Generator) -> tuple[Bytes, Bytes]:
    """A training view at `shape` (w, h) of a photo, at times mixed with a second one; `draw` picks photos.

    uint8 pixels (h, w, 3) and class bits (h, w).
    """
    base, choice = _single(draw(), shape, rng), rng.random()
    if choice < _PASTE:
        base = paste(base, _single(draw(), shape, rng))
    elif choice < _PASTE + _INSET:
        _inset(base, draw(), rng)
    return np.asarray(base[0]), np.asarray(base[1])


def _single(photo: Photo, shape: Size, rng: Generator) -> View:
    angle = rng.uniform(-_DEGREES, _DEGREES) if rng.random() < _TURN else 0.0
    room = _room(shape, angle)
    box = inside(window(photo, room, rng), photo.image.size)
    image = _look(resize(photo.image, room, box), rng)
    target = photo.target.resize(room, Image.Resampling.NEAREST, box=box)
    if angle:
        image = _middle(image.rotate(angle, Image.Resampling.BILINEAR), shape)
        target = _middle(target.rotate(angle, Image.Resampling.NEAREST), shape)
    if rng.random() < 0.5:
        flip = Image.Transpose.FLIP_LEFT_RIGHT
        return image.transpose(flip), target.transpose(flip)
    return image, target


def _room(shape: Size, angle: float) -> Size:
    """What holds `shape` after it is turned, so that no corner stays empty."""
    across, along = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    return math.ceil(shape[0] * across + shape[1] * along), math.ceil(shape[1] * across + shape[0] * along)


def _middle(image: Image.Image, shape: Size) -> Image.Image:
    left, top = (image.width - shape[0]) // 2, (image.height - shape[1]) // 2
    return image.crop((left, top, left + shape[0], top + shape[1]))


def window(photo: Photo, shape: Size, rng: Generator) -> Window:
    """The part of a photo to show at `shape`: stretched by up to 1.4, 15 % of the largest fit or more."""
    size, kind = photo.image.size, rng.random()
    if kind < _WHOLE:  # as serving sees it
        return (0.0, 0.0, float(size[0]), float(size[1]))
    aspect = shape[0] / shape[1] * np.exp(rng.uniform(-0.34, 0.34))
    widest = min(size[0], size[1] * aspect)
    if kind < _WHOLE + _PORTRAIT and photo.hair:
        return _portrait(photo.hair, size, aspect, widest, rng)
    width = widest * rng.uniform(0.15, 1.0) ** 0.5
    height = width / aspect
    left, top = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
    return (left, top, left + width, top + height)


def inside(box: Window, size: Size) -> Window:
    """`box` without what rounding put outside of a photo of `size` px, which Pillow refuses."""
    left, top, right, bottom = box
    return max(left, 0.0), max(top, 0.0), min(right, float(size[0])), min(bottom, float(size[1]))


def _portrait(hair: Box, size: Size, aspect: float, widest: float, rng: Generator) -> Window:
    """A face and what is next to it: people are photographed from head to toe, a camera's owner is not."""
    head = hair[2] - hair[0]  # px across, and about as far down, however long the hair is
    width = min(head * rng.uniform(0.9, 2.5), widest)
    height = width / aspect
    left = (hair[0] + hair[2] - width) / 2 + width * rng.uniform(-0.2, 0.2)
    top = hair[1] + 0.6 * head - height / 2 + height * rng.uniform(-0.2, 0.2)
    left, top = min(max(left, 0.0), size[0] - width), min(max(top, 0.0), size[1] - height)
    return (left, top, left + width, top + height)


def paste(base: View, other: View) -> View:
    """Lay the labelled objects of `other` over `base`: the only photos where people and pets meet."""
    if other[1].point(_OBJECT).getbbox() is None:
        return base
    brought = other[1].point(_BROUGHT)
    return Image.composite(other[0], base[0], brought), Image.composite(other[1], base[1], brought)


def _inset(base: View, photo: Photo, rng: Generator) -> None:
    """A whole small photo inside `base`: objects smaller than any crop would show them."""
    shape, scale = base[0].size, rng.uniform(0.4, 0.8)
    small = (int(shape[0] * scale), int(shape[1] * scale))
    place = (int(rng.integers(0, shape[0] - small[0] + 1)), int(rng.integers(0, shape[1] - small[1] + 1)))
    for under, over in zip(base, _single(photo, small, rng), strict=True):
        under.paste(over, place)


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
    table: list[int] = np.clip(np.outer(gains, levels) * 255, 0, 255).astype(np.uint8).ravel().tolist()
    return table


def _recompressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
