"""PNG's chunks (ISO/IEC 15948) as far as the pixels; an animated PNG counts as its still picture."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from shared.errors import Rejected
from shared.limits import MAX_CHUNKS
from shared.prediction import Reason
from shared.probe import exif
from shared.probe.source import Measure, Source, damaged

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = 13
_EXIF_READ = 64 << 10  # bytes; the first directory lies at the beginning
_BIT_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # by colour type


class Chunk(NamedTuple):
    """`start` is its first byte (of the length), `payload` its first data byte, `stop` the first of the next."""

    kind: bytes
    start: int
    payload: int
    stop: int


def recognises(head: bytes) -> bool:
    return head.startswith(SIGNATURE)


def measure(source: Source) -> Measure:
    """Raises `Rejected`: UNSUPPORTED_MEDIA, TOO_COMPLEX or CORRUPT_IMAGE. Of eXIf chunks the first counts, and none
    after the pixels, as in browsers: parsing hundreds of them would take half a second."""
    found = chunks(source)
    width, height = _header(source, next(found))
    orientation = 0  # not known
    for chunk in found:
        if chunk.kind == b"IDAT":
            return Measure(width, height, orientation or exif.UPRIGHT)
        if chunk.kind == b"eXIf" and not orientation:
            orientation = exif.orientation(source.take(chunk.payload, min(chunk.stop - 4 - chunk.payload, _EXIF_READ)))
    raise damaged("it has no pixels")


def chunks(source: Source) -> Iterator[Chunk]:
    """All chunks up to and with IEND. Raises `Rejected` (TOO_COMPLEX, CORRUPT_IMAGE)."""
    position = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        head = source.take(position, 8)
        stop = position + 12 + int.from_bytes(head[:4], "big")
        yield Chunk(head[4:], position, position + 8, stop)
        if head[4:] == b"IEND":
            return
        position = stop
    raise Rejected(Reason.TOO_COMPLEX, f"The PNG has more than {MAX_CHUNKS} chunks.")


def _header(source: Source, chunk: Chunk) -> tuple[int, int]:
    if chunk.kind == b"CgBI":
        raise Rejected(Reason.UNSUPPORTED_MEDIA, "This is an app-packaged PNG of iOS, which is not supported.")
    if chunk.kind != b"IHDR" or chunk.stop - chunk.start != 12 + _HEADER_BYTES:
        raise damaged("its header is missing")
    body = source.take(chunk.payload, _HEADER_BYTES)
    if source.number(chunk.stop - 4, 4) != zlib.crc32(b"IHDR" + body):
        raise damaged("its header does not match its checksum")
    bits, colour, compression, filtering, interlace = body[8:]
    if bits not in _BIT_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise damaged("its header asks for something that PNG does not have")
    return int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
