"""A mask over its photo: where it paints, in which colours, at which size."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from cli.overlay import overlay, write_overlay


def mask(size: tuple[int, int]) -> bytes:
    """Class 0, black, on the left; class 1, blue, on the right."""
    image = Image.new("P", size)
    image.putpalette([0, 0, 0, 0, 0, 255])
    image.paste(1, (size[0] // 2, 0, *size))
    file = io.BytesIO()
    image.save(file, "PNG", bits=1)
    return file.getvalue()


def test_only_the_foreground_is_painted(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (40, 20), (200, 0, 0)).save(photo)
    image = overlay(photo, mask((40, 20)))
    assert image.size == (40, 20)
    assert image.getpixel((5, 10)) == (200, 0, 0)
    red, _, blue = image.getpixel((35, 10))  # type: ignore[misc]
    assert 0 < red < 200
    assert 100 < blue < 255


def test_a_turned_photo_is_shown_upright_and_a_large_one_smaller(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = tmp_path / "photo.jpg"
    Image.new("L", (3200, 2400)).save(photo, exif=exif)
    target = tmp_path / "overlay.jpg"
    write_overlay(photo, mask((2400, 3200)), target)
    with Image.open(target) as image:
        assert image.size == (1200, 1600)
