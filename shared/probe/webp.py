"""WebP's chunks (RFC 9649): lossy (VP8), lossless (VP8L) and extended (VP8X); of an animation, its canvas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shared.errors import Rejected
from shared.limits import MAX_CHUNKS
from shared.prediction import Reason
from shared.probe import exif
from shared.probe.source import Measure, Source, cut_off, damaged

_EXIF_FLAG = 0x08
_EXIF_READ = 64 << 10  # bytes; the first directory lies at the beginning
_FIRST_CHUNK = 12


class Chunk(NamedTuple):
    """`payload` is its first data byte, `stop` the one after its last, padding not counted."""

    kind: bytes
    payload: int
    stop: int


def recognises(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def measure(source: Source) -> Measure:
    """Raises `Rejected`: TOO_COMPLEX or CORRUPT_IMAGE."""
    found = chunks(source)
    first = next(found, None)
    reader = {b"VP8 ": _lossy, b"VP8L": _lossless, b"VP8X": _extended}.get(first.kind if first else b"")
    if first is None or reader is None:
        raise damaged("it holds no WebP picture")
    width, height = reader(source, first)
    orientation = exif.UPRIGHT
    if first.kind == b"VP8X" and source.number(first.payload, 1) & _EXIF_FLAG:
        orientation = _orientation(source, found)
    return Measure(width, height, orientation)


def chunks(source: Source) -> Iterator[Chunk]:
    """All chunks in the container. Raises `Rejected` (TOO_COMPLEX, CORRUPT_IMAGE)."""
    end = 8 + source.number(4, 4, "little")
    if end > source.size:
        raise cut_off()
    position = _FIRST_CHUNK
    for _ in range(MAX_CHUNKS):
        if position + 8 > end:
            return
        kind, length = source.take(position, 4), source.number(position + 4, 4, "little")
        payload = position + 8
        if payload + length > end:
            raise cut_off()
        yield Chunk(kind, payload, payload + length)
        position = payload + length + length % 2
    raise Rejected(Reason.TOO_COMPLEX, f"The WebP has more than {MAX_CHUNKS} chunks.")


def _orientation(source: Source, found: Iterator[Chunk]) -> int:
    for chunk in found:
        if chunk.kind == b"EXIF":
            return exif.orientation(source.take(chunk.payload, min(chunk.stop - chunk.payload, _EXIF_READ)))
    return exif.UPRIGHT


def _lossy(source: Source, chunk: Chunk) -> tuple[int, int]:
    head = _head(source, chunk, 10)
    if head[0] & 1 or head[3:6] != b"\x9d\x01\x2a":
        raise damaged("its first frame is no key frame")
    return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF


def _lossless(source: Source, chunk: Chunk) -> tuple[int, int]:
    head = _head(source, chunk, 5)
    bits = int.from_bytes(head[1:], "little")  # 14 bits width - 1, 14 bits height - 1, 1 bit alpha, 3 bits version
    if head[0] != 0x2F or bits >> 29:
        raise damaged("its lossless header is not one")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _extended(source: Source, chunk: Chunk) -> tuple[int, int]:
    head = _head(source, chunk, 10)
    return int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1


def _head(source: Source, chunk: Chunk, count: int) -> bytes:
    if chunk.stop - chunk.payload < count:
        raise damaged("its header is too short")
    return source.take(chunk.payload, count)
