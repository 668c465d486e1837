"""WebP files: both codings, animations, containers that lie about what is in them."""

from __future__ import annotations

import struct
from random import Random

import numpy as np
from PIL import Image

from shared.limits import MAX_CHUNKS
from shared.prediction import Reason
from tests.hostile.kinds import SIZE, Kind, cut, kinds, noise
from tests.pictures import picture, riff, saved, tagged

CORRUPT = Reason.CORRUPT_IMAGE
ICC, ALPHA, EXIF, XMP, ANIMATION = 0x20, 0x10, 0x08, 0x04, 0x02  # flags of VP8X


def webp(**options: object) -> bytes:
    return saved(picture(), "WEBP", **options)


def grainy(lossless: bool) -> bytes:
    pixels = np.frombuffer(Random(1).randbytes(150 * 200 * 3), np.uint8).reshape(150, 200, 3)
    return saved(Image.fromarray(pixels), "WEBP", lossless=lossless)


def body(data: bytes) -> bytes:
    """The coded picture of a simple file."""
    return data[20 : 20 + int.from_bytes(data[16:20], "little")]


def extended(flags: int, size: tuple[int, int] = SIZE) -> tuple[bytes, bytes]:
    sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def lossless_header(width: int, height: int) -> bytes:
    return b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)


def animated(frames: int = 3) -> bytes:
    return saved(picture(), "WEBP", save_all=True, append_images=[picture().rotate(7 * at) for at in range(1, frames)])


def framed(x: int = 0, y: int = 0, *inside: tuple[bytes, bytes]) -> bytes:
    """An animation of one frame at (2x, 2y)."""
    head = b"".join(number.to_bytes(3, "little") for number in (x, y, SIZE[0] - 1, SIZE[1] - 1, 100)) + b"\0"
    coded = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in inside)
    return riff(extended(ANIMATION), (b"ANIM", bytes(6)), (b"ANMF", head + coded))


LOSSY = (b"VP8 ", body(webp()))
ACCEPTED = [
    *kinds(
        "webp",
        SIZE,
        lossy=webp,
        lossless=lambda: webp(lossless=True),
        lossy_with_alpha=lambda: saved(picture(mode="RGBA"), "WEBP"),
        lossless_with_alpha=lambda: saved(picture(mode="RGBA"), "WEBP", lossless=True),
        transparent=lambda: saved(Image.new("RGBA", SIZE), "WEBP"),
        animated=animated,
        animated_with_100_frames=lambda: animated(100),
        with_a_profile=lambda: webp(icc_profile=noise(3000)),
        with_metadata_of_noise=lambda: riff(extended(EXIF), LOSSY, (b"EXIF", noise(500))),
        with_a_packet_of_3_MB=lambda: webp(xmp=b"<a>" * (1 << 20)),
        with_foreign_chunks=lambda: riff(extended(0), (b"JUNK", b"odd"), LOSSY, (b"MORE", noise(99))),
        with_9000_chunks=lambda: riff(extended(0), LOSSY, *[(b"JUNK", b"")] * 9000),
        that_promises_metadata=lambda: riff(extended(EXIF | XMP | ICC), LOSSY),
        followed_by_a_zip=lambda: webp() + b"PK\x03\x04" + noise(500),
        one_frame_animation=lambda: framed(0, 0, LOSSY),
    ),
    Kind("webp turned 8", lambda: tagged(8, "WEBP"), SIZE[::-1]),
]
REJECTED = [
    *cut("webp", lambda: grainy(False)),
    *cut("webp lossless", lambda: grainy(True)),
    *kinds(
        "webp",
        CORRUPT,
        whose_picture_stops=lambda: riff((b"VP8 ", body(grainy(False))[:-2000])),
        lossless_whose_picture_stops=lambda: riff((b"VP8L", body(grainy(True))[:-2000])),
        of_noise=lambda: riff((b"VP8 ", body(webp())[:10] + noise(200))),
        lossless_of_noise=lambda: riff((b"VP8L", lossless_header(*SIZE) + noise(200))),
        without_key_frame=lambda: riff((b"VP8 ", b"\x01" + body(webp())[1:])),
        without_start_code=lambda: riff((b"VP8 ", body(webp())[:3] + bytes(3) + body(webp())[6:])),
        lossless_without_signature=lambda: riff((b"VP8L", bytes(20))),
        lossless_of_version_7=lambda: riff((b"VP8L", b"\x2f\xff\xff\xff\xff" + bytes(20))),
        with_a_short_header=lambda: riff((b"VP8L", b"\x2f")),
        whose_canvas_is_another=lambda: riff(extended(0, (99, 99)), LOSSY),
        without_picture=lambda: riff(),
        with_an_empty_canvas=lambda: riff(extended(0)),
        with_alpha_only=lambda: riff((b"ALPH", bytes(20))),
        whose_animation_has_no_frames=lambda: riff(extended(ANIMATION), (b"ANIM", bytes(6))),
        whose_frame_is_empty=lambda: framed(),
        whose_frame_leaves_the_canvas=lambda: framed(40, 40, LOSSY),
        longer_than_its_file=lambda: webp()[:4] + b"\xff\xff\xff\x7f" + webp()[8:],
        with_a_chunk_of_4_GB=lambda: webp()[:16] + b"\xff\xff\xff\xff" + webp()[20:],
        magic_only=lambda: b"RIFF\x04\0\0\0WEBP",
        magic_then_noise=lambda: b"RIFF\xf4\x01\0\0WEBP" + noise(500),
    ),
    *kinds(
        "webp",
        Reason.TOO_COMPLEX,
        with_one_chunk_too_many=lambda: riff(extended(EXIF), *[(b"JUNK", b"")] * MAX_CHUNKS, LOSSY),
        with_chunks_after_its_picture=lambda: riff(extended(0), LOSSY, *[(b"JUNK", b"")] * MAX_CHUNKS),
    ),
    *kinds(
        "webp",
        Reason.TOO_MANY_PIXELS,
        of_38_bytes_and_88_megapixels=lambda: riff((b"VP8L", lossless_header(9400, 9400) + bytes(13))),
        of_16383_by_16383=lambda: riff((b"VP8 ", bytes(3) + b"\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(20))),
        with_a_canvas_of_281_terapixels=lambda: riff(extended(0, (1 << 24, 1 << 24)), LOSSY),
    ),
    *kinds(
        "webp",
        Reason.BAD_DIMENSIONS,
        without_width=lambda: riff((b"VP8 ", bytes(3) + b"\x9d\x01\x2a\0\0\x30\0" + bytes(20))),
        of_1_pixel=lambda: saved(picture(1, 1), "WEBP"),
        of_101_to_1=lambda: riff((b"VP8L", lossless_header(16, 1616) + bytes(13))),
    ),
    *kinds("riff", Reason.UNSUPPORTED_MEDIA, of_sound=lambda: b"RIFF\x24\0\0\0WAVEfmt " + bytes(40)),
]
HEAVY = kinds(
    "webp",
    (8164, 6123),
    heavy=True,
    of_50_megapixels_in_36_bytes=lambda: saved(
        Image.new("RGB", (8164, 6123), "teal"), "WEBP", lossless=True, quality=0, method=0
    ),
)
ALL = [*ACCEPTED, *REJECTED, *HEAVY]
