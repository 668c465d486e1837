"""The sample photos: a cat, a few people, and nobody, in the sizes, formats and orientations that phones send.

Made from the photos that scikit-image ships inside its wheel, so nothing is downloaded.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom
_ORIENTATION = 0x0112  # EXIF tag
_TURN_RIGHT = 6  # EXIF: show it a quarter turn clockwise, as phones write for portraits


@dataclass(frozen=True, slots=True)
class _Sample:
    """`box` of the source, enlarged or not to `size` (px, upright)."""

    name: str
    source: str
    box: Box
    size: tuple[int, int]
    format: Literal["JPEG", "PNG", "WEBP"]
    mirrored: bool = False
    turned: bool = False  # stored lying on its side, with the EXIF orientation that sets it upright
    beside: str = ""  # a second source, whole, to its right


_SAMPLES = (
    _Sample("astronaut.png", "astronaut.png", (0, 0, 512, 512), (512, 512), "PNG"),
    _Sample("cat.jpg", "chelsea.png", (0, 0, 451, 300), (451, 300), "JPEG"),
    _Sample("cat-12-megapixels.jpg", "chelsea.png", (26, 0, 426, 300), (4000, 3000), "JPEG"),
    _Sample("cat-and-astronaut.jpg", "astronaut.png", (0, 0, 512, 512), (600, 600), "JPEG", beside="chelsea.png"),
    _Sample("cat-mirrored.webp", "chelsea.png", (51, 0, 451, 300), (800, 600), "WEBP", mirrored=True),
    _Sample("cat-upright.jpg", "chelsea.png", (110, 0, 335, 300), (1200, 1600), "JPEG", turned=True),
    _Sample("night-launch.jpg", "rocket.jpg", (0, 0, 640, 427), (1600, 1067), "JPEG"),
    _Sample("photographer.png", "camera.png", (0, 0, 512, 512), (512, 512), "PNG"),
    _Sample("portrait.webp", "astronaut.png", (100, 0, 400, 512), (900, 1536), "WEBP"),
    _Sample("space-suit.jpg", "astronaut.png", (0, 0, 512, 512), (2400, 2400), "JPEG", mirrored=True),
)


def prepare(folder: Path) -> list[Path]:
    """All sample photos in `folder`; those that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for sample in _SAMPLES:
        file = folder / sample.name
        if not file.exists():
            _write(file, _encoded(sample))
    return [folder / sample.name for sample in _SAMPLES]


def _encoded(sample: _Sample) -> bytes:
    image = _photo(sample.source).crop(sample.box).resize(sample.size, Image.Resampling.BICUBIC)
    if sample.beside:
        image = _side_by_side(image, _photo(sample.beside))
    if sample.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    exif = Image.Exif()
    if sample.turned:
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[_ORIENTATION] = _TURN_RIGHT
    file = io.BytesIO()
    image.save(file, sample.format, quality=88, exif=exif)
    return file.getvalue()


def _photo(name: str) -> Image.Image:
    from skimage.data import data_dir  # slow to import, and not needed when all files are there

    with Image.open(Path(data_dir) / name) as image:
        image.load()
        return image


def _side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Both at the height of the left one."""
    right = right.resize((right.width * left.height // right.height, left.height), Image.Resampling.BICUBIC)
    both = Image.new("RGB", (left.width + right.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


def _write(file: Path, data: bytes) -> None:
    """Readers see the whole photo or none."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(file)
