"""PNG files: every colour type, animations, bombs in text and pixels, rows that never come, chunks without end."""

from __future__ import annotations

import struct
import zlib
from functools import cache

import numpy as np
from PIL import Image

from shared.limits import MAX_CHUNKS
from shared.prediction import Reason
from tests.hostile.kinds import SIZE, Kind, cut, kinds, noise
from tests.pictures import PNG_SIGNATURE, chunk, picture, saved, tagged

CORRUPT = Reason.CORRUPT_IMAGE
END = chunk(b"IEND", b"")
ROWS = (b"\0" + b"\xc8" * 3 * SIZE[0]) * SIZE[1]  # light grey, no filter
DEEP = np.linspace(0, 65_535, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE[1], SIZE[0])


def header(
    size: tuple[int, int] = SIZE,
    bits: int = 8,
    colour: int = 2,
    method: int = 0,
    filtering: int = 0,
    interlace: int = 0,
) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colour, method, filtering, interlace))


def png(*chunks: bytes) -> bytes:
    return PNG_SIGNATURE + b"".join(chunks) + END


def pixels(rows: bytes = ROWS) -> bytes:
    return chunk(b"IDAT", zlib.compress(rows, 1))


def with_chunks(*chunks: bytes) -> bytes:
    """A good picture with these before its pixels."""
    return png(header(), *chunks, pixels())


@cache
def inflating(mebibytes: int) -> bytes:
    return zlib.compress(bytes(mebibytes << 20), 1)


def in_pieces(size: int, *between: bytes) -> bytes:
    data = zlib.compress(ROWS)
    pieces = [chunk(b"IDAT", data[at : at + size]) for at in range(0, len(data), size)]
    return png(header(), *(part for one in pieces for part in (one, *between)))


def animated(frames: int = 3) -> bytes:
    return saved(
        picture(), "PNG", save_all=True, append_images=[picture().rotate(90 * turn) for turn in range(1, frames)]
    )


def huge(mode: str, width: int, height: int) -> bytes:
    """One colour, so that few bytes hold it; rows are not even there."""
    bits, colour = {"L": (8, 0), "1": (1, 0), "RGB": (8, 2), "RGBA;16": (16, 6)}[mode]
    return png(header((width, height), bits, colour), chunk(b"IDAT", zlib.compress(bytes(1000))))


def indexed(*chunks: bytes) -> bytes:
    rows = (b"\0" + b"\x02" * SIZE[0]) * SIZE[1]
    return png(header(colour=3), *chunks, pixels(rows))


def deep(colour: int, channels: int) -> bytes:
    rows = (b"\0" + b"\x12\x34" * channels * SIZE[0]) * SIZE[1]
    return png(header(bits=16, colour=colour), pixels(rows))


def interlaced(share: float = 1.0) -> bytes:
    """Adam7 of one colour: seven small pictures in a row."""
    passes = ((8, 6), (8, 6), (16, 6), (16, 12), (32, 12), (32, 24), (64, 24))  # of 64 x 48 px
    rows = b"".join((b"\0" + b"\xc8" * 3 * wide) * high for wide, high in passes)
    return png(header(interlace=1), pixels(rows[: int(len(rows) * share)]))


def damaged_crc(kind: bytes) -> bytes:
    data = with_chunks(chunk(b"tEXt", b"Comment\0x"))
    at = data.index(kind) + 4
    return data[: at + 1] + bytes([data[at + 1] ^ 1]) + data[at + 2 :]


ACCEPTED = [
    *kinds(
        "png",
        SIZE,
        plain=lambda: saved(picture(), "PNG"),
        grey=lambda: saved(picture(mode="L"), "PNG"),
        grey_and_alpha=lambda: saved(picture(mode="LA"), "PNG"),
        with_alpha=lambda: saved(picture(mode="RGBA"), "PNG"),
        palette=lambda: saved(picture(mode="P"), "PNG"),
        palette_with_alpha=lambda: saved(picture(mode="P"), "PNG", transparency=bytes(range(256))),
        palette_of_1_bit=lambda: saved(picture(mode="1").convert("P"), "PNG", bits=1),
        palette_of_2_bits=lambda: saved(picture().quantize(4), "PNG", bits=2),
        palette_of_4_bits=lambda: saved(picture().quantize(16), "PNG", bits=4),
        with_a_transparent_colour=lambda: saved(picture(), "PNG", transparency=(255, 0, 0)),
        of_1_bit=lambda: saved(picture(mode="1"), "PNG"),
        of_16_bits=lambda: saved(Image.fromarray(DEEP), "PNG"),
        of_48_bits=lambda: deep(2, 3),
        of_64_bits=lambda: deep(6, 4),
        of_16_bits_and_alpha=lambda: deep(4, 2),
        interlaced=interlaced,
        black=lambda: saved(Image.new("RGB", SIZE), "PNG"),
        transparent=lambda: saved(Image.new("RGBA", SIZE), "PNG"),
        animated=animated,
        animated_with_300_frames=lambda: animated(300),
        that_claims_2_billion_frames=lambda: with_chunks(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        with_a_frame_header_but_no_animation=lambda: with_chunks(chunk(b"fcTL", bytes(26))),
        with_a_text_bomb=lambda: with_chunks(chunk(b"zTXt", b"Comment\0\0" + inflating(64))),
        with_an_international_text_bomb=lambda: with_chunks(chunk(b"iTXt", b"C\0\1\0\0\0" + inflating(64))),
        with_200_texts_of_1_MB=lambda: with_chunks(*[chunk(b"zTXt", b"Comment\0\0" + inflating(1))] * 200),
        with_a_text_of_8_MB=lambda: with_chunks(chunk(b"tEXt", b"Comment\0" + b"A" * (8 << 20))),
        with_a_profile_bomb=lambda: with_chunks(chunk(b"iCCP", b"icc\0\0" + inflating(64))),
        with_a_broken_profile=lambda: with_chunks(chunk(b"iCCP", b"no end")),
        with_a_script_inside=lambda: with_chunks(chunk(b"tEXt", b"Comment\0<script>alert(1)</script>")),
        with_9000_chunks=lambda: with_chunks(*[chunk(b"tEXt", b"a\0b")] * 9000),
        with_colours_of_television=lambda: with_chunks(chunk(b"cICP", b"\x09\x10\0\1")),
        with_a_gamma_of_zero=lambda: with_chunks(chunk(b"gAMA", bytes(4))),
        with_absurd_primaries=lambda: with_chunks(chunk(b"cHRM", b"\xff" * 32)),
        with_a_density_of_zero=lambda: with_chunks(chunk(b"pHYs", bytes(9))),
        with_short_ancillary_chunks=lambda: with_chunks(
            *(chunk(one, b"") for one in (b"gAMA", b"cHRM", b"pHYs", b"sRGB"))
        ),
        with_a_foreign_chunk=lambda: with_chunks(chunk(b"juNk", noise(100))),
        with_a_chunk_whose_name_is_no_text=lambda: with_chunks(chunk(b"\0\xff\0\xff", b"x")),
        with_damaged_text=lambda: damaged_crc(b"tEXt"),
        with_pixels_in_pieces_of_one_byte=lambda: in_pieces(1),
        with_empty_pieces_of_pixels=lambda: in_pieces(20, chunk(b"IDAT", b"")),
        with_text_between_its_pixels=lambda: in_pieces(20, chunk(b"tEXt", b"a\0b")),
        with_rows_that_go_on=lambda: png(header(), pixels(ROWS + bytes(16 << 20))),
        with_indices_beyond_its_palette=lambda: indexed(chunk(b"PLTE", bytes(6))),
        with_metadata_of_noise=lambda: with_chunks(chunk(b"eXIf", noise(500))),
        turned_after_its_pixels=lambda: png(
            header(), pixels(), chunk(b"eXIf", b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0))
        ),
        followed_by_a_web_page=lambda: saved(picture(), "PNG") + b"<html><script>alert(1)</script>",
        followed_by_noise=lambda: saved(picture(), "PNG") + noise(1 << 20),
    ),
    Kind("png turned 6", lambda: tagged(6, "PNG"), SIZE[::-1]),
    Kind("png of 100 to 1", lambda: saved(picture(16, 1600), "PNG"), (16, 1600)),
]
REJECTED = [
    *cut("png", lambda: saved(picture(), "PNG")),
    *kinds(
        "png",
        CORRUPT,
        with_half_its_rows=lambda: png(header(), pixels(ROWS[: len(ROWS) // 2])),
        with_all_but_its_last_pixel=lambda: png(header(), pixels(ROWS[:-3])),
        interlaced_with_half_its_rows=lambda: interlaced(0.5),
        interlaced_without_its_last_row=lambda: interlaced(0.99),
        without_pixels=lambda: png(header()),
        with_empty_pixels=lambda: png(header(), chunk(b"IDAT", b"")),
        with_no_rows=lambda: png(header(), pixels(b"")),
        with_pixels_of_noise=lambda: png(header(), chunk(b"IDAT", noise(2000))),
        with_pixels_that_stop=lambda: png(header(), chunk(b"IDAT", zlib.compress(ROWS)[:-12])),
        with_a_wrong_checksum_of_pixels=lambda: png(header(), chunk(b"IDAT", zlib.compress(ROWS)[:-4] + b"abcd")),
        with_an_unknown_filter=lambda: png(header(), pixels(ROWS.replace(b"\0", b"\x09"))),
        with_a_damaged_header=lambda: damaged_crc(b"IHDR"),
        without_header=lambda: png(pixels()),
        with_two_headers=lambda: png(header(), header((128, 96)), pixels()),
        without_palette=indexed,
        with_too_much_transparency=lambda: indexed(chunk(b"PLTE", bytes(9)), chunk(b"tRNS", bytes(300))),
        of_3_bits=lambda: png(header(bits=3), pixels()),
        of_an_unknown_colour_type=lambda: png(header(colour=5), pixels()),
        compressed_otherwise=lambda: png(header(method=1), pixels()),
        filtered_otherwise=lambda: png(header(filtering=1), pixels()),
        interlaced_otherwise=lambda: png(header(interlace=2), pixels()),
        with_a_chunk_of_4_GB=lambda: PNG_SIGNATURE + header() + b"\xff\xff\xff\xfftEXt" + bytes(100),
        without_end=lambda: PNG_SIGNATURE + header() + pixels(),
        magic_then_noise=lambda: PNG_SIGNATURE + noise(5000),
        magic_only=lambda: PNG_SIGNATURE,
    ),
    *kinds(
        "png",
        Reason.UNSUPPORTED_MEDIA,
        of_an_app_package=lambda: PNG_SIGNATURE + chunk(b"CgBI", bytes(4)) + header() + pixels(),
        whose_line_ends_were_changed=lambda: saved(picture(), "PNG").replace(b"\r\n", b"\n"),
        after_a_space=lambda: b" " + saved(picture(), "PNG"),
    ),
    *kinds(
        "png",
        Reason.TOO_COMPLEX,
        with_80000_texts=lambda: with_chunks(*[chunk(b"tEXt", b"a\0b")] * 80_000),
        with_one_chunk_too_many=lambda: with_chunks(*[chunk(b"tEXt", b"")] * MAX_CHUNKS),
        with_chunks_after_its_pixels=lambda: png(header(), pixels(), *[chunk(b"tEXt", b"")] * MAX_CHUNKS),
    ),
    *kinds(
        "png",
        Reason.BAD_DIMENSIONS,
        without_width=lambda: png(header((0, 48)), pixels()),
        of_1_by_40_million=lambda: huge("1", 1, 40_000_000),
        of_16385_by_200=lambda: huge("1", 16_385, 200),
        of_15_by_100=lambda: huge("L", 15, 100),
        of_101_to_1=lambda: huge("L", 16, 1616),
    ),
    *kinds(
        "png",
        Reason.TOO_MANY_PIXELS,
        of_177_megapixels=lambda: huge("RGB", 13_300, 13_300),
        of_88_megapixels_and_64_bits=lambda: huge("RGBA;16", 9400, 9400),
        of_50000_by_50000_of_1_bit=lambda: huge("1", 50_000, 50_000),
        of_2_billion_by_2_billion=lambda: huge("L", 2**31 - 1, 2**31 - 1),
        of_4_billion_by_1=lambda: huge("L", 2**32 - 1, 1),
    ),
]
HEAVY = kinds(
    "png",
    (8164, 6123),
    heavy=True,
    with_alpha_of_50_megapixels=lambda: saved(Image.new("RGBA", (8164, 6123), (9, 9, 9, 99)), "PNG", compress_level=1),
    black_of_50_megapixels=lambda: saved(Image.new("L", (8164, 6123)), "PNG", compress_level=1),
)
ALL = [*ACCEPTED, *REJECTED, *HEAVY]
