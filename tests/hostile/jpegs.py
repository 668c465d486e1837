"""JPEG files: real and odd, cut off and closed again, bombs for memory and for time, lies about size and coding."""

from __future__ import annotations

import struct
from functools import cache
from random import Random

import numpy as np
from PIL import Image

from shared.limits import MAX_SCANS, MAX_SEGMENTS
from shared.prediction import Reason
from shared.probe import jpeg
from tests.hostile.kinds import SIZE, Kind, cut, kinds, noise
from tests.pictures import after_start, frame, picture, saved, scan_header, segment, tagged

END = b"\xff\xd9"
CORRUPT, UNSUPPORTED, COMPLEX = Reason.CORRUPT_IMAGE, Reason.UNSUPPORTED_MEDIA, Reason.TOO_COMPLEX


@cache
def plain(**options: int) -> bytes:
    return saved(picture(), "JPEG", **options)


@cache
def grainy(progressive: bool = False) -> bytes:
    """So much detail that most of the file is coded pixels."""
    pixels = np.frombuffer(Random(1).randbytes(150 * 200 * 3), np.uint8).reshape(150, 200, 3)
    return saved(Image.fromarray(pixels), "JPEG", progressive=progressive)


def closed(data: bytes, share: float) -> bytes:
    """Cut off, and made to look complete."""
    return data[: int(len(data) * share)] + END


def without(marker: int) -> bytes:
    """A JPEG that lacks its segments of one kind."""
    data = plain()
    while (at := data.find(bytes([0xFF, marker]))) >= 0:
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    return data


def swapped(marker: int, payload: bytes) -> bytes:
    """A JPEG whose first segment of one kind has another content."""
    data = plain()
    at = data.index(bytes([0xFF, marker]))
    return data[:at] + segment(marker, payload) + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


def sampled(factors: int) -> bytes:
    """Other sampling factors of the first component than its data has."""
    data = bytearray(plain())
    data[data.index(b"\xff\xc0") + 11] = factors
    return bytes(data)


def rescanned(times: int, side: int = 64) -> bytes:
    """A progressive JPEG whose last scan comes again and again: each costs a pass over all pixels."""
    data = saved(picture(side, side), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * times + END


def exif(entries: bytes) -> bytes:
    return after_start(plain(), segment(jpeg.APP1, b"Exif\0\0II*\0" + entries))


def described(text: bytes) -> bytes:
    block = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x010E, 2, len(text), 26, 0) + text
    return after_start(plain(), segment(jpeg.APP1, b"Exif\0\0" + block))


def profile(parts: int) -> bytes:
    """A colour profile in `parts` segments of the largest size."""
    marks = (b"ICC_PROFILE\0" + bytes([one + 1, parts]) + bytes(65_000) for one in range(parts))
    return after_start(plain(), b"".join(segment(0xE2, one) for one in marks))


def two_components() -> bytes:
    header = b"\x08" + struct.pack(">HHB", 48, 64, 2) + b"\1\x11\0\2\x11\0"
    return b"\xff\xd8" + segment(0xC0, header) + segment(0xDA, bytes(10))


ACCEPTED = kinds(
    "jpeg",
    SIZE,
    plain=plain,
    progressive=lambda: plain(progressive=True),
    grey=lambda: saved(picture(mode="L"), "JPEG"),
    grey_progressive=lambda: saved(picture(mode="L"), "JPEG", progressive=True),
    inks=lambda: saved(picture(mode="CMYK"), "JPEG"),
    inks_progressive=lambda: saved(picture(mode="CMYK"), "JPEG", progressive=True),
    sampled_444=lambda: plain(subsampling=0),
    sampled_422=lambda: plain(subsampling=1),
    quality_1=lambda: plain(quality=1),
    quality_100=lambda: plain(quality=100),
    with_restarts=lambda: plain(restart_marker_blocks=1),
    kept_as_rgb=lambda: plain(keep_rgb=True),
    of_several_pictures=lambda: saved(picture(), "MPO", save_all=True, append_images=[picture(32, 32)] * 3),
    followed_by_a_zip=lambda: plain() + b"PK\x03\x04" + noise(500),
    followed_by_noise=lambda: plain() + noise(1 << 20),
    followed_by_another_picture=lambda: plain() + saved(picture(300, 300), "PNG"),
    with_a_script_inside=lambda: after_start(plain(), segment(jpeg.COM, b"<script>alert(1)</script><?php die(); ?>")),
    with_fill_bytes=lambda: after_start(plain(), b"\xff" * 60),
    with_900_comments=lambda: after_start(plain(), segment(jpeg.COM, b"") * 900),
    with_a_profile_of_3_MB=lambda: profile(50),
    with_a_truncated_profile=lambda: after_start(plain(), segment(0xE2, b"ICC_PROFILE\0\1\2short")),
    with_an_xmp_bomb=lambda: after_start(
        plain(), segment(jpeg.APP1, b"http://ns.adobe.com/xap/1.0/\0" + b"<a>" * 20_000)
    ),
    with_a_thumbnail=lambda: after_start(plain(), segment(jpeg.APP0, b"JFXX\0\x10" + saved(picture(16, 16), "JPEG"))),
    with_metadata_that_points_to_itself=lambda: exif(struct.pack("<IHI", 8, 0, 8)),
    with_metadata_that_points_nowhere=lambda: exif(b"\xff\xff\xff\xff"),
    with_65535_metadata_entries=lambda: exif(struct.pack("<IH", 8, 65_535)),
    with_orientation_9=lambda: tagged(9, "JPEG"),
    with_a_log_line_inside=lambda: described(b'x\n{"severity":"INFO","message":"paid"}\r\n\x1b[2J'),
    with_densities_of_zero=lambda: swapped(jpeg.APP0, b"JFIF\0\1\1\0\0\0\0\0\0\0"),
    without_tables=lambda: without(jpeg.DHT),
)
TURNED = [
    Kind(f"jpeg turned {turn}", lambda turn=turn: tagged(turn, "JPEG"), SIZE if turn < 5 else SIZE[::-1])  # type: ignore[misc]
    for turn in range(1, 9)
]
SHAPED = [
    Kind("jpeg of 100 to 1", lambda: saved(picture(1600, 16), "JPEG"), (1600, 16)),
    Kind("jpeg as long as allowed", lambda: saved(picture(16_384, 164), "JPEG"), (16_384, 164)),
    Kind("jpeg with grain", grainy, (200, 150)),
    Kind("jpeg with 99 scans", lambda: rescanned(MAX_SCANS - 11), (64, 64)),
]
REJECTED = [
    *cut("jpeg", grainy),
    *cut("jpeg progressive", lambda: grainy(True)),
    *kinds(
        "jpeg",
        CORRUPT,
        cut_at_10_and_closed=lambda: closed(grainy(), 0.1),
        cut_at_50_and_closed=lambda: closed(grainy(), 0.5),
        cut_at_99_and_closed=lambda: closed(grainy(), 0.99),
        progressive_cut_at_10_and_closed=lambda: closed(grainy(True), 0.1),
        progressive_cut_at_50_and_closed=lambda: closed(grainy(True), 0.5),
        of_more_rows_than_it_has=lambda: frame(plain(), height=4800, width=6400),
        interrupted_by_a_marker=lambda: closed(grainy(), 0.5) + grainy()[len(grainy()) // 2 :],
        header_only=lambda: scan_header(plain()).join([plain().split(b"\xff\xda")[0], END]),
        magic_then_noise=lambda: b"\xff\xd8\xff" + noise(5000),
        magic_only=lambda: b"\xff\xd8\xff",
        start_and_end=lambda: b"\xff\xd8" + END,
        started_twice=lambda: b"\xff\xd8" + plain(),
        without_quantisation=lambda: without(0xDB),
        with_a_table_of_noise=lambda: swapped(jpeg.DHT, noise(40)),
        with_a_table_too_long=lambda: swapped(jpeg.DHT, b"\0" + b"\xff" * 16 + bytes(400)),
        with_a_short_quantisation=lambda: swapped(0xDB, bytes(10)),
        with_two_frames=lambda: after_start(plain(), segment(0xC0, b"\x08\0\x30\0\x40\1\1\x11\0")),
        with_a_frame_of_wrong_length=lambda: frame(plain(), components=4),
        with_sampling_0=lambda: sampled(0x00),
        with_sampling_15=lambda: sampled(0xFF),
        with_a_short_scan_header=lambda: plain().replace(scan_header(plain()), segment(0xDA, b"\3\1\0")),
        with_a_scan_of_strangers=lambda: plain().replace(scan_header(plain()), segment(0xDA, b"\1\x09\0\0\x3f\0")),
        with_an_impossible_length=lambda: after_start(plain(), b"\xff\xe2\0\1"),
        with_a_segment_beyond_the_end=lambda: after_start(plain(), b"\xff\xe2\xff\xff")[:-100],
        padded_without_end=lambda: after_start(plain(), b"\xff" * 100_000),
        with_junk_between_segments=lambda: after_start(plain(), segment(jpeg.COM, b"") + b"?"),
    ),
    *kinds(
        "jpeg",
        UNSUPPORTED,
        arithmetic=lambda: frame(plain(), marker=0xC9),
        lossless=lambda: frame(plain(), marker=0xC3),
        hierarchical=lambda: frame(plain(), marker=0xC5),
        of_12_bits=lambda: frame(plain(), bits=12),
        of_2_components=two_components,
        two_bytes=lambda: b"\xff\xd8",
        without_its_first_byte=lambda: plain()[1:],
        after_a_byte_order_mark=lambda: b"\xef\xbb\xbf" + plain(),
        sent_as_text=lambda: plain().decode("latin-1").encode("utf-8"),
    ),
    *kinds(
        "jpeg",
        COMPLEX,
        of_2000_scans=lambda: rescanned(2000, 512),
        of_101_scans=lambda: rescanned(MAX_SCANS),
        with_250000_comments=lambda: after_start(plain(), segment(jpeg.COM, b"") * 250_000),
        with_one_segment_too_many=lambda: after_start(plain(), segment(jpeg.COM, b"") * MAX_SEGMENTS),
        with_comments_between_scans=lambda: plain(progressive=True)[:-2] + segment(jpeg.COM, b"") * 2000 + END,
    ),
    *kinds(
        "jpeg",
        Reason.BAD_DIMENSIONS,
        without_height=lambda: frame(plain(), height=0),
        without_width=lambda: frame(plain(), width=0),
        of_15_pixels=lambda: saved(picture(15, 15), "JPEG"),
        of_65535_by_16=lambda: frame(plain(), width=65_535, height=16),
        of_101_to_1=lambda: frame(plain(), width=1616, height=16),
    ),
    *kinds(
        "jpeg",
        Reason.TOO_MANY_PIXELS,
        that_claims_88_megapixels=lambda: frame(plain(), width=9400, height=9400),
        that_claims_4_gigapixels=lambda: frame(plain(), width=65_535, height=65_535),
    ),
]
HEAVY = [
    *kinds(
        "jpeg",
        (8164, 6123),
        heavy=True,
        of_50_megapixels=lambda: saved(Image.new("RGB", (8164, 6123), "teal"), "JPEG"),
        progressive_of_50_megapixels=lambda: saved(
            Image.new("RGB", (8164, 6123), "teal"), "JPEG", progressive=True, subsampling=0
        ),
        progressive_inks_of_50_megapixels=lambda: saved(
            Image.new("CMYK", (8164, 6123)), "JPEG", progressive=True, subsampling=0
        ),
    ),
    Kind("jpeg of 99 scans and 16 megapixels", lambda: rescanned(MAX_SCANS - 11, 4000), (4000, 4000), heavy=True),
]
ALL = [*ACCEPTED, *TURNED, *SHAPED, *REJECTED, *HEAVY]
