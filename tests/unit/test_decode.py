"""Photos become the pixels that training saw, whatever file they came in; files that are not whole become nothing."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageFile, ImageOps

from inference_container import preprocess
from inference_container.decode import Photo, decode
from inference_container.shapes import target_shape
from shared.errors import Rejected
from shared.prediction import Reason
from tests.pictures import after_start, picture, riff, saved, segment, tagged

SIZE = 224
KINDS = ("JPEG", "PNG", "WEBP")
CAT = Image.open(Path(skimage.data.data_dir) / "chelsea.png").convert("RGB")


def cat(width: int = 451, height: int = 300) -> Image.Image:
    return CAT.resize((width, height))


def expected(image: Image.Image, size: int = SIZE) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """What training would see of the whole picture."""
    return preprocess.to_model_size(ImageOps.exif_transpose(image).convert("RGB"), size).astype(int)


def difference(photo: Photo, image: Image.Image) -> float:
    return float(np.abs(photo.pixels - expected(image)).mean())


def refused(data: bytes) -> Reason:
    with pytest.raises(Rejected) as error:
        decode(data, SIZE)
    return Reason(error.value.reason)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("size", [(451, 300), (300, 451), (1203, 802), (100, 80), (1600, 17)])
def test_a_lossless_photo_is_what_training_sees_pixel_for_pixel(kind: str, size: tuple[int, int]) -> None:
    image = cat(*size)
    photo = decode(saved(image, kind, lossless=True) if kind == "WEBP" else saved(image, kind), SIZE)
    assert np.array_equal(photo.pixels, expected(image))
    assert (photo.width, photo.height) == size
    assert photo.pixels.shape[1::-1] == target_shape(*size, SIZE)


@pytest.mark.parametrize("size", [(451, 300), (1000, 667), (2001, 1337), (4000, 500)])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_decoded_small_looks_like_the_whole(size: tuple[int, int], progressive: bool) -> None:
    data = saved(cat(*size), "JPEG", quality=90, progressive=progressive)
    assert difference(decode(data, SIZE), Image.open(BytesIO(data))) < 2.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_photos_are_turned_upright(kind: str, orientation: int) -> None:
    data = tagged(orientation, kind, (640, 400))
    photo = decode(data, SIZE)
    assert (photo.width, photo.height) == ((400, 640) if orientation >= 5 else (640, 400))
    assert difference(photo, Image.open(BytesIO(data))) < 2.5


def test_sixteen_bits_of_grey_keep_their_upper_eight() -> None:
    deep = np.tile(np.arange(0, 65536, 256, dtype=np.uint16), (256, 1))
    photo = decode(saved(Image.fromarray(deep), "PNG"), SIZE)
    assert np.array_equal(photo.pixels, expected(Image.fromarray((deep >> 8).astype(np.uint8))))


def test_inks_become_colours() -> None:
    data = saved(cat().convert("CMYK"), "JPEG", quality=95)
    assert difference(decode(data, SIZE), Image.open(BytesIO(data))) < 2.5


def test_what_is_transparent_is_white() -> None:
    image = cat().convert("RGBA")
    image.putalpha(0)
    for kind in ("PNG", "WEBP"):
        assert decode(saved(image, kind), SIZE).pixels.min() == 255
    palette = Image.new("P", (64, 48), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert decode(saved(palette, "PNG", transparency=0), SIZE).pixels.min() == 255
    assert decode(saved(palette, "PNG"), SIZE).pixels[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "MPO"])
def test_of_several_frames_only_the_first_counts(kind: str) -> None:
    first, second = Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue")
    photo = decode(saved(first, kind, save_all=True, append_images=[second]), SIZE)
    assert photo.pixels[..., 0].min() > 240
    assert photo.pixels[..., 2].max() < 16


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_whole_is_rejected(kind: str) -> None:
    data = saved(cat(), kind)
    for share in (0.1, 0.5, 0.9, 0.99):
        assert refused(data[: int(len(data) * share)]) is Reason.CORRUPT_IMAGE


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}, {"subsampling": 0}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_was_cut_off_and_closed_again_is_rejected(mode: str, options: dict[str, int]) -> None:
    data = saved(cat().convert(mode), "JPEG", **options)
    decode(data, SIZE)
    for share in (0.1, 0.3, 0.5) if options.get("progressive") else (0.1, 0.5, 0.9, 0.99):
        assert refused(data[: int(len(data) * share)] + b"\xff\xd9") is Reason.CORRUPT_IMAGE


def test_a_png_whose_rows_stop_early_is_rejected_and_a_black_one_is_not() -> None:
    black = Image.new("RGB", (640, 400))
    assert decode(saved(black, "PNG"), SIZE).pixels.max() == 0
    data = saved(cat(640, 400), "PNG")
    taller = data[:16] + struct.pack(">II", 640, 800) + data[24:29]
    taller += struct.pack(">I", zlib.crc32(taller[12:29])) + data[33:]
    assert refused(taller) is Reason.CORRUPT_IMAGE


def test_headers_that_contradict_the_decoder_are_rejected() -> None:
    lossy = saved(picture(), "WEBP")
    shown = riff((b"VP8X", bytes(4) + (99).to_bytes(3, "little") * 2), (b"VP8 ", lossy[20:]))
    assert refused(shown) is Reason.CORRUPT_IMAGE
    twice = after_start(saved(picture(), "JPEG"), segment(0xC0, b"\x08\0\x40\0\x40\1\1\x11\0"))
    assert refused(twice) is Reason.CORRUPT_IMAGE


def test_pillow_is_never_allowed_to_invent_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(RuntimeError, match="invent"):
        decode(saved(picture(), "PNG"), SIZE)


def test_large_photos_from_many_threads() -> None:
    data = saved(Image.new("RGB", (5000, 4000), "teal"), "JPEG")
    with ThreadPoolExecutor(4) as threads:
        photos = list(threads.map(lambda _: decode(data, SIZE), range(4)))
    assert {(photo.width, photo.height) for photo in photos} == {(5000, 4000)}
