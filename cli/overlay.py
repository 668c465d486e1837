"""A photo with its mask painted over it, for people to look at."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageOps

_LONGEST = 1600  # px: enough for a screen
_STRENGTH = 0.45  # of the colours over the photo
BACKGROUND = 0  # the class that is never painted


def write_overlay(photo: Path, mask: bytes, target: Path) -> None:
    """`mask`: the indexed PNG that the API gives, whose palette holds the classes' colours."""
    overlay(photo, mask).save(target, "JPEG", quality=88)


def overlay(photo: Path, mask: bytes) -> Image.Image:
    with Image.open(photo) as opened, Image.open(io.BytesIO(mask)) as classes:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
        size = _fitting(upright.size)
        below = upright.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
        above = classes.resize(size, Image.Resampling.NEAREST)
    painted = Image.blend(below, above.convert("RGB"), _STRENGTH)
    shown = Image.composite(painted, below, _foreground(above))
    shown.info.clear()  # Pillow carries a JPEG's comment from picture to picture and writes it
    return shown


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _LONGEST / max(size))
    return round(size[0] * scale) or 1, round(size[1] * scale) or 1


def _foreground(classes: Image.Image) -> Image.Image:
    """White wherever something other than background is; the pixels of `classes` are ids."""
    ids = Image.frombytes("L", classes.size, classes.tobytes())
    return ids.point([255 * (number != BACKGROUND) for number in range(256)])
