"""Photos for benchmarks: real ones that scikit-image ships, in several sizes, every file different in its bytes."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import data_dir

SIZES = ((640, 480), (800, 600), (1024, 768), (1600, 1200))  # what phones and the web send after resizing


def photos(
    count: int, sizes: tuple[tuple[int, int], ...] = SIZES, seed: int = 7, grain: float = 0.0
) -> Iterator[bytes]:
    """`count` JPEGs: random crops, so that no two files share their bytes and no cache can answer.

    `grain`: standard deviation of added noise, of 255; a photo that was enlarged has none of its own.
    """
    names = ("astronaut.png", "chelsea.png", "coffee.png")  # shipped inside the wheel: nothing is downloaded
    sources = [Image.open(Path(data_dir) / name).convert("RGB") for name in names]
    draw = random.Random(seed)
    for number in range(count):
        source = draw.choice(sources)
        image = _crop(source, draw).resize(sizes[number % len(sizes)], Image.Resampling.BILINEAR)
        yield _jpeg(_grained(image, grain, number) if grain else image, draw)


def _crop(source: Image.Image, draw: random.Random) -> Image.Image:
    width, height = source.size
    side_w, side_h = int(width * draw.uniform(0.7, 1)), int(height * draw.uniform(0.7, 1))
    left, top = draw.randrange(width - side_w + 1), draw.randrange(height - side_h + 1)
    return source.crop((left, top, left + side_w, top + side_h))


def _grained(image: Image.Image, grain: float, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, grain, (image.height, image.width, 1))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, draw: random.Random) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=draw.randrange(86, 94))
    return file.getvalue()
