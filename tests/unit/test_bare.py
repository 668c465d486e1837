"""A picture without its extras: the pixels stay, everything else goes, and what is dear is counted first."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from inference_container.bare import bare
from shared.errors import Rejected
from shared.limits import MAX_SCANS, MAX_SEGMENTS
from shared.prediction import Reason
from tests.pictures import after_start, chunk, picture, png, riff, saved, scan_header, segment, tagged

SECRET = b"where I live"
JPEG = saved(picture(), "JPEG")
KINDS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


def refused(data: bytes, content_type: str) -> Reason:
    with pytest.raises(Rejected) as error:
        bare(data, content_type)
    return Reason(error.value.reason)


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_stay_and_the_metadata_goes(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    data = saved(picture(), kind, exif=exif, **({} if kind == "PNG" else {"comment": SECRET}))
    assert SECRET in data
    stripped = bare(data, KINDS[kind])
    assert SECRET not in stripped
    before, after = (np.asarray(Image.open(BytesIO(one)).convert("RGB")) for one in (data, stripped))
    assert np.array_equal(before, after)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_what_says_how_the_colours_are_meant_stays(mode: str) -> None:
    data = saved(picture(mode=mode), "JPEG")
    before, after = Image.open(BytesIO(data)), Image.open(BytesIO(bare(data, "image/jpeg")))
    assert before.mode == after.mode
    assert np.array_equal(np.asarray(before), np.asarray(after))


def test_nothing_after_the_first_picture_is_left() -> None:
    data = saved(picture(), "MPO", save_all=True, append_images=[picture(32, 32)])
    assert len(bare(data, "image/jpeg")) < len(saved(picture(), "JPEG")) + 100
    assert bare(JPEG + SECRET, "image/jpeg") == bare(JPEG, "image/jpeg")
    assert SECRET not in bare(JPEG + SECRET, "image/jpeg")
    still = saved(picture(), "PNG")
    assert bare(still + SECRET, "image/png") == still


def test_chunks_of_an_animation_go_but_its_first_picture_stays() -> None:
    data = saved(picture(), "PNG", save_all=True, append_images=[picture().rotate(180)])
    stripped = bare(data, "image/png")
    assert b"fdAT" in data
    assert b"fdAT" not in stripped
    assert np.array_equal(np.asarray(Image.open(BytesIO(stripped))), np.asarray(picture()))


def test_a_bomb_in_a_text_chunk_is_not_even_there() -> None:
    assert bare(png(64, 48, chunk(b"zTXt", b"x\0\0" + bytes(1000))), "image/png") == png(64, 48)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_how_the_camera_was_held_is_metadata_too(orientation: int) -> None:
    assert b"Exif" not in bare(tagged(orientation, "JPEG"), "image/jpeg")


def test_a_jpeg_with_too_many_scans_is_too_complex() -> None:
    scan = scan_header(JPEG) + b"\0" * 20
    body = JPEG.removesuffix(b"\xff\xd9")
    assert bare(body + scan * (MAX_SCANS - 1) + b"\xff\xd9", "image/jpeg")
    assert refused(body + scan * MAX_SCANS + b"\xff\xd9", "image/jpeg") is Reason.TOO_COMPLEX


def test_segments_between_scans_are_counted() -> None:
    body = JPEG.removesuffix(b"\xff\xd9")
    assert refused(body + segment(0xFE, b"") * (MAX_SEGMENTS + 1), "image/jpeg") is Reason.TOO_COMPLEX


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (after_start(JPEG, segment(0xC0, bytes(15))), "image/jpeg"),  # two frame headers
        (saved(picture(), "PNG")[:-1], "image/png"),
        (saved(picture(), "PNG")[:-12], "image/png"),
        (saved(picture(), "WEBP")[:-2], "image/webp"),
        (riff((b"VP8X", bytes(10)), (b"VP8 ", bytes(4)))[:-3], "image/webp"),
    ],
)
def test_files_that_are_cut_off_or_contradict_themselves_are_corrupt(data: bytes, content_type: str) -> None:
    assert refused(data, content_type) is Reason.CORRUPT_IMAGE
