"""The sample photos: what they cover, and that they are made once, always the same."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image, ImageOps

from local.samples import prepare


class Look(NamedTuple):
    size: tuple[int, int]
    format: str | None
    orientation: int
    upright: tuple[int, int]


def look(file: Path) -> Look:
    with Image.open(file) as image:
        upright = ImageOps.exif_transpose(image)
        return Look(image.size, image.format, image.getexif().get(0x0112, 1), upright.size)


@pytest.fixture(name="files", scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return prepare(tmp_path_factory.mktemp("samples"))


def test_they_cover_sizes_formats_and_orientations(files: list[Path]) -> None:
    looks = [look(file) for file in files]
    sizes = {one.size for one in looks}
    assert len(files) >= 9
    assert len(sizes) >= 4
    assert max(width * height for width, height in sizes) == 4000 * 3000
    assert min(width for width, _ in sizes) < 500
    assert {one.format for one in looks} == {"JPEG", "PNG", "WEBP"}
    assert [one.upright for one in looks if one.orientation == 6] == [(1200, 1600)]


def test_they_are_always_the_same(files: list[Path], tmp_path: Path) -> None:
    again = prepare(tmp_path)
    assert [file.name for file in again] == [file.name for file in files]
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]


def test_what_is_there_is_kept_and_what_is_missing_is_made(files: list[Path], tmp_path: Path) -> None:
    kept = tmp_path / files[0].name
    kept.write_bytes(b"mine")
    prepare(tmp_path)
    assert kept.read_bytes() == b"mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(file.name for file in files)
