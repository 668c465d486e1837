"""Corrected masks: what is taken, what is refused, and that only the class ids are kept."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from shared.corrections import read_correction
from shared.errors import Malformed
from shared.limits import MAX_MASK_BYTES

WIDE, HIGH = 6, 4
PIXELS = bytes([0, 1, 2, 2, 1, 0] * HIGH)


def png(mode: str = "P", size: tuple[int, int] = (WIDE, HIGH), pixels: bytes = PIXELS, **options: Any) -> bytes:
    image = Image.frombytes(mode, size, pixels)
    if mode == "P":
        image.putpalette([i % 256 for i in range(768)])
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


@pytest.mark.parametrize("data", [png("P"), png("L"), png("P", bits=2), png("P", bits=4)], ids=["P", "L", "P2", "P4"])
def test_an_indexed_mask_keeps_its_class_ids(data: bytes) -> None:
    correction = read_correction(data, WIDE, HIGH, range(3))
    kept = Image.open(io.BytesIO(correction.png))
    assert (kept.mode, kept.size, kept.tobytes()) == ("L", (WIDE, HIGH), PIXELS)
    assert correction.classes == (0, 1, 2)


def test_the_same_ids_are_the_same_content_however_they_were_written() -> None:
    assert (
        len({read_correction(data, WIDE, HIGH, range(3)).digest for data in (png("P"), png("L"), png("P", bits=2))})
        == 1
    )


def test_nothing_but_pixels_is_kept() -> None:
    info = PngInfo()
    info.add_text("Comment", "where I live")
    data = png("P", pnginfo=info)
    assert b"where I live" in data
    assert b"where I live" not in read_correction(data, WIDE, HIGH, range(3)).png


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (png(size=(HIGH, WIDE)), "4 x 6 px"),
        (png("RGB", pixels=PIXELS * 3), "indexed"),
        (png("1", (WIDE, HIGH), bytes(HIGH)), "indexed"),
        (png("LA", pixels=PIXELS * 2), "indexed"),
        (png("I;16", pixels=PIXELS * 2), "indexed"),
        (png()[:60], "decoded"),
        (b"GIF89a" + bytes(40), "not a PNG"),
        (b"", "not a PNG"),
        (bytes(MAX_MASK_BYTES + 1), "at most 1 MiB"),
        (png(pixels=PIXELS[:-1] + b"\x09"), "class ids that the model does not have: 9"),
    ],
)
def test_what_is_no_mask_of_this_photo_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        read_correction(data, WIDE, HIGH, range(3))


def test_a_header_that_promises_a_huge_image_is_refused_before_decoding() -> None:
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 3, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    with pytest.raises(Malformed, match="60000 x 60000"):
        read_correction(b"\x89PNG\r\n\x1a\n" + chunk, WIDE, HIGH, range(3))


@given(st.data())
def test_damaged_masks_are_refused_or_read_but_never_break_anything(data: st.DataObject) -> None:
    damaged = bytearray(png())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        correction = read_correction(bytes(damaged), WIDE, HIGH, range(256))
    except Malformed:
        return
    assert Image.open(io.BytesIO(correction.png)).size == (WIDE, HIGH)
