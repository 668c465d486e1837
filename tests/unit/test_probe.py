"""Headers: what a file is and how large its picture is, told from few bytes, whatever it calls itself."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from shared.errors import Rejected
from shared.limits import MAX_BYTES, MAX_CHUNKS, MAX_SEGMENTS
from shared.prediction import Reason
from shared.probe import Header, probe, probe_bytes
from tests.pictures import after_start, chunk, frame, picture, png, riff, saved, segment, tagged

JPEG = saved(picture(), "JPEG")
KINDS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


def refused(data: bytes) -> Reason:
    with pytest.raises(Rejected) as error:
        probe_bytes(data)
    assert str(error.value).endswith(".")  # a sentence for people
    return Reason(error.value.reason)


@pytest.mark.parametrize("size", [(16, 16), (17, 1001), (1023, 33), (300, 200)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_has_the_size_it_was_made_with(kind: str, size: tuple[int, int]) -> None:
    assert probe_bytes(saved(picture(*size), kind)) == Header(KINDS[kind], *size, orientation=1)


VARIANTS = {
    "progressive": saved(picture(), "JPEG", progressive=True),
    "grey": saved(picture(mode="L"), "JPEG"),
    "cmyk": saved(picture(mode="CMYK"), "JPEG"),
    "mpo": saved(picture(), "MPO", save_all=True, append_images=[picture(32, 32)]),
    "palette": saved(picture(mode="P"), "PNG"),
    "alpha": saved(picture(mode="LA"), "PNG"),
    "16-bit": saved(Image.new("I;16", (64, 48)), "PNG"),
    "animated png": saved(picture(), "PNG", save_all=True, append_images=[picture().rotate(180)]),
    "lossless": saved(picture(), "WEBP", lossless=True),
    "extended": saved(picture(mode="RGBA"), "WEBP"),
    "animated webp": saved(picture(), "WEBP", save_all=True, append_images=[picture().rotate(180)]),
}


@pytest.mark.parametrize("data", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_of_the_three_formats_is_read(data: bytes) -> None:
    header = probe_bytes(data)
    assert (header.width, header.height) == (64, 48)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_width_and_height_are_those_of_the_upright_photo(kind: str, orientation: int) -> None:
    header = probe_bytes(tagged(orientation, kind))
    assert header.orientation == orientation
    assert (header.width, header.height) == ((48, 64) if orientation >= 5 else (64, 48))
    assert header.stored == (64, 48)


def test_of_several_orientations_in_a_png_the_first_counts() -> None:
    """A file may hold hundreds, and each costs time."""
    one, other = tagged(6, "PNG"), tagged(3, "PNG")
    start = other.index(b"eXIf") - 4
    chunk = other[start : start + 12 + int.from_bytes(other[start : start + 4], "big")]
    assert probe_bytes(one[:33] + chunk + one[33:]).orientation == 3


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_counts_as_upright(orientation: int) -> None:
    assert probe_bytes(tagged(orientation, "JPEG")).orientation == 1


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",  # the directory lies beyond the block
        b"MM\0*" + struct.pack(">IH", 8, 500),  # more entries than there are
        b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 4, 1, 6, 0),  # of another type
        b"not TIFF at all",
    ],
)
def test_damaged_metadata_counts_as_upright(block: bytes) -> None:
    assert probe_bytes(after_start(JPEG, segment(0xE1, b"Exif\0\0" + block))).orientation == 1


def test_metadata_in_either_byte_order_is_read() -> None:
    little = b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0)
    big = b"MM\0*" + struct.pack(">IHHHIHH", 8, 1, 0x0112, 3, 1, 8, 0)
    assert probe_bytes(after_start(JPEG, segment(0xE1, b"Exif\0\0" + little))).orientation == 6
    assert probe_bytes(after_start(JPEG, segment(0xE1, b"Exif\0\0" + big))).orientation == 8


@pytest.mark.parametrize(
    "data",
    [
        saved(picture(), "GIF"),
        saved(picture(), "BMP"),
        saved(picture(), "TIFF"),
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"GIF89a/*\xff\xd8\xff*/=1",  # begins as one thing, holds another
        b"plain text",
        b"\0",
        b"\xff",
        b"\xff\xd8",
        JPEG[1:],
        b" " + saved(picture(), "PNG"),
    ],
)
def test_other_files_are_unsupported_whatever_they_are_called(data: bytes) -> None:
    assert refused(data) is Reason.UNSUPPORTED_MEDIA


def test_the_answer_names_what_the_file_looks_like() -> None:
    with pytest.raises(Rejected, match="HEIC"):
        probe_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


def test_what_follows_the_picture_does_not_change_what_it_is() -> None:
    polyglot = JPEG + b"PK\x03\x04" + saved(picture(300, 300), "PNG")
    assert probe_bytes(polyglot) == probe_bytes(JPEG)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_off_in_its_header_is_corrupt(kind: str) -> None:
    data = saved(picture(), kind)
    for stop in range(12, 30):
        assert refused(data[:stop]) is Reason.CORRUPT_IMAGE


def test_an_empty_file_is_corrupt() -> None:
    assert refused(b"") is Reason.CORRUPT_IMAGE


def test_a_file_that_is_too_large_is_not_even_read() -> None:
    def read(start: int, stop: int) -> bytes:
        raise AssertionError("read")

    with pytest.raises(Rejected) as error:
        probe(read, MAX_BYTES + 1)
    assert error.value.reason == Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(15, 100), Reason.BAD_DIMENSIONS),
        (png(16_385, 200), Reason.BAD_DIMENSIONS),
        (png(16, 1601), Reason.BAD_DIMENSIONS),
        (png(50_000, 50_000, bits=1), Reason.TOO_MANY_PIXELS),
        (frame(JPEG, width=65_535, height=65_535), Reason.TOO_MANY_PIXELS),
        (frame(JPEG, height=0), Reason.BAD_DIMENSIONS),
        (riff((b"VP8X", bytes(4) + b"\xff\xff\xff" * 2)), Reason.TOO_MANY_PIXELS),
    ],
)
def test_impossible_shapes_are_told_from_the_header(data: bytes, reason: Reason) -> None:
    assert refused(data) is reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (frame(JPEG, marker=0xC9), Reason.UNSUPPORTED_MEDIA),  # arithmetic
        (frame(JPEG, marker=0xC3), Reason.UNSUPPORTED_MEDIA),  # lossless
        (frame(JPEG, bits=12), Reason.UNSUPPORTED_MEDIA),
        (frame(JPEG, components=2), Reason.CORRUPT_IMAGE),
        (after_start(JPEG, b"\xff\xd9"), Reason.CORRUPT_IMAGE),  # ends at once
        (after_start(JPEG, b"\xff\xe2\0\1"), Reason.CORRUPT_IMAGE),  # a length that does not hold itself
        (after_start(JPEG, b"\xff" * 200), Reason.CORRUPT_IMAGE),
        (after_start(JPEG, b"\xff\0"), Reason.CORRUPT_IMAGE),
        (after_start(JPEG, segment(0xFE, b"") + b"?"), Reason.CORRUPT_IMAGE),
        (b"\xff\xd8" + segment(0xDA, bytes(10)), Reason.CORRUPT_IMAGE),  # a scan of nothing
        (after_start(JPEG, segment(0xFE, b"") * (MAX_SEGMENTS + 1)), Reason.TOO_COMPLEX),
        (png(64, 48, bits=3), Reason.CORRUPT_IMAGE),
        (png(64, 48, colour=5), Reason.CORRUPT_IMAGE),
        (png(64, 48, interlace=2), Reason.CORRUPT_IMAGE),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", bytes(4)), Reason.UNSUPPORTED_MEDIA),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", bytes(13)), Reason.CORRUPT_IMAGE),
        (png(64, 48).replace(b"IDAT", b"idAT"), Reason.CORRUPT_IMAGE),
        (png(64, 48, chunk(b"tEXt", b"") * (MAX_CHUNKS + 1)), Reason.TOO_COMPLEX),
        (png(64, 48)[:24] + b"\1" + png(64, 48)[25:], Reason.CORRUPT_IMAGE),  # the checksum is that of another header
        (riff(), Reason.CORRUPT_IMAGE),
        (riff((b"ALPH", bytes(20))), Reason.CORRUPT_IMAGE),
        (riff((b"VP8 ", bytes(20))), Reason.CORRUPT_IMAGE),
        (riff((b"VP8L", bytes(20))), Reason.CORRUPT_IMAGE),
        (riff((b"VP8L", b"\x2f")), Reason.CORRUPT_IMAGE),
        (riff((b"VP8X", b"\x08" + bytes(9)), *[(b"JUNK", b"")] * (MAX_CHUNKS + 1)), Reason.TOO_COMPLEX),
    ],
)
def test_damaged_and_outlandish_headers(data: bytes, reason: Reason) -> None:
    assert refused(data) is reason


def test_fill_bytes_and_metadata_of_megabytes_take_few_reads() -> None:
    data = after_start(JPEG, b"\xff" * 20 + segment(0xE2, bytes(65_000)) * 50)
    reads: list[int] = []

    def read(start: int, stop: int) -> bytes:
        reads.append(stop - start)
        return data[start:stop]

    header = probe(read, len(data))
    assert (header.width, header.height) == (64, 48)
    assert len(reads) <= 30
