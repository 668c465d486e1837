"""JPEG's segments (ITU-T T.81 annex B) as far as the frame header. An MPO begins with a JPEG and is read as that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shared.errors import Rejected
from shared.limits import MAX_SEGMENTS
from shared.prediction import Reason
from shared.probe import exif
from shared.probe.source import Measure, Source, damaged

SOI, EOI, SOS, DHT, JPG, DAC = 0xD8, 0xD9, 0xDA, 0xC4, 0xC8, 0xCC
APP0, APP1, APP14, APP15, COM = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, JPG, DAC}
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM and restart markers carry no length
_HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_MAX_FILL = 64  # bytes 0xFF before a marker


class Segment(NamedTuple):
    """`start` is its first byte (0xFF), `payload` the first one after the length, `stop` the first of the next."""

    marker: int
    start: int
    payload: int
    stop: int


def recognises(head: bytes) -> bool:
    return head.startswith(b"\xff\xd8\xff")


def measure(source: Source) -> Measure:
    """Raises `Rejected`: UNSUPPORTED_MEDIA for arithmetic, lossless and 12-bit coding, TOO_COMPLEX, CORRUPT_IMAGE."""
    orientation = 0
    for segment in segments(source):
        if segment.marker in FRAMES:
            return _frame(source, segment, orientation or exif.UPRIGHT)
        if segment.marker == APP1 and not orientation:
            block = source.take(segment.payload, segment.stop - segment.payload)
            orientation = exif.orientation(block) if block.startswith(b"Exif\0") else 0
    raise damaged("it has no frame header")


def segments(source: Source) -> Iterator[Segment]:
    """The segments up to and with the first scan header. Raises `Rejected` (TOO_COMPLEX, CORRUPT_IMAGE)."""
    position = 2
    for _ in range(MAX_SEGMENTS):
        start, marker = _marker(source, position)
        position = start + 2
        if marker in ALONE:
            continue
        if marker in (SOI, EOI):
            raise damaged("it ends before its picture begins")
        length = source.number(position, 2)
        if length < 2:
            raise damaged("a segment has an impossible length")
        yield Segment(marker, start, position + 2, position + length)
        if marker == SOS:
            return
        position += length
    raise Rejected(Reason.TOO_COMPLEX, f"The JPEG has more than {MAX_SEGMENTS} segments.")


def _marker(source: Source, position: int) -> tuple[int, int]:
    """(start, code) of the marker at `position`, which may be preceded by fill bytes."""
    head = source.take(position, min(_MAX_FILL, source.size - position))
    fill = len(head) - len(head.lstrip(b"\xff"))
    if fill == 0 or (fill < len(head) and head[fill] == 0):
        raise damaged("a segment does not begin where it should")
    if fill == len(head) == _MAX_FILL:
        raise damaged("it is padded without end")
    code = source.number(position + fill, 1)
    return position + fill - 1, code


def _frame(source: Source, segment: Segment, orientation: int) -> Measure:
    if segment.marker not in _HUFFMAN_FRAMES:
        kind = "arithmetic" if segment.marker >= 0xC9 else "lossless or hierarchical"
        raise Rejected(Reason.UNSUPPORTED_MEDIA, f"This JPEG uses {kind} coding, which is not supported.")
    bits, height, width, components = (
        source.number(segment.payload + offset, count) for offset, count in ((0, 1), (1, 2), (3, 2), (5, 1))
    )
    if segment.stop - segment.payload != 6 + 3 * components:
        raise damaged("its frame header has a wrong length")
    if bits != 8:
        raise Rejected(Reason.UNSUPPORTED_MEDIA, f"This JPEG has {bits} bits per sample; 8 are supported.")
    if components not in (1, 3, 4):
        raise Rejected(Reason.UNSUPPORTED_MEDIA, f"This JPEG has {components} colour components; 1, 3 or 4 are.")
    return Measure(width, height, orientation)
