"""Real photos (scikit-image's) and files that only look like photos."""

from __future__ import annotations

from functools import cache
from io import BytesIO

import skimage.data
from PIL import Image


@cache
def photo(name: str = "chelsea", size: tuple[int, int] | None = None, format: str = "JPEG") -> bytes:
    image = Image.fromarray(getattr(skimage.data, name)())
    out = BytesIO()
    (image.resize(size) if size else image).save(out, format)
    return out.getvalue()


def numbered(number: int) -> bytes:
    """Photo `number` of many: no two have the same bytes."""
    return photo(("astronaut", "chelsea", "coffee")[number % 3]) + f"photo {number}".encode()


def sideways() -> bytes:
    """451 x 300 px as stored, 300 x 451 upright."""
    image = Image.open(BytesIO(photo()))
    exif = image.getexif()
    exif[0x0112] = 6
    out = BytesIO()
    image.save(out, "JPEG", exif=exif)
    return out.getvalue()


@cache
def huge() -> bytes:
    """A small file of 64 megapixels."""
    out = BytesIO()
    Image.new("L", (8000, 8000)).save(out, "PNG")
    return out.getvalue()
