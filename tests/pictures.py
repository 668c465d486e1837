"""Picture files of every kind, made in code, and the bytes to take them apart."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from shared.probe import jpeg
from shared.probe.source import Source

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112


def picture(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """Smooth, and different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1)
    pixels = np.stack([red, green, 255 - red], axis=-1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def tagged(orientation: int, format: str, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture whose EXIF says how the camera was held."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return saved(picture(*size), format, exif=exif)


def segment(marker: int, payload: bytes) -> bytes:
    """A JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def after_start(data: bytes, inserted: bytes) -> bytes:
    """A JPEG with `inserted` right after its first marker."""
    return data[:2] + inserted + data[2:]


def scan_header(data: bytes) -> bytes:
    """A JPEG's first scan header."""
    *_, scan = jpeg.segments(Source(lambda start, stop: data[start:stop], len(data)))
    return data[scan.start : scan.stop]


def frame(data: bytes, **changes: int) -> bytes:
    """A baseline JPEG with other values in its frame header: marker, bits, height, width, components."""
    at = data.index(b"\xff\xc0")
    fields = ["marker", "length", "bits", "height", "width", "components"]
    values = dict(zip(fields, struct.unpack_from(">BHBHHB", data, at + 1), strict=True)) | changes
    return data[: at + 1] + struct.pack(">BHBHHB", *(values[name] for name in fields)) + data[at + 10 :]


def chunk(kind: bytes, payload: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(width: int, height: int, *between: bytes, bits: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    """A PNG of zeros, with further chunks before its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace))
    pixels = chunk(b"IDAT", zlib.compress(bytes(min(height, 100) * (1 + width * bits // 8))))
    return PNG_SIGNATURE + header + b"".join(between) + pixels + chunk(b"IEND", b"")


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks."""
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
