"""The same picture without what a decoder need not see: metadata, thumbnails, further frames, whatever follows it.

Decoders parse less, bombs hidden in text or colour profiles never open, and nobody's place of living reaches a model.
Runs before the decoder and counts what makes decoding dear. Knows structure only, no pixels.
"""

from __future__ import annotations

import re

from shared.errors import Rejected
from shared.limits import MAX_SCANS, MAX_SEGMENTS
from shared.prediction import Reason
from shared.probe import jpeg, png, webp
from shared.probe.source import Source, cut_off, damaged

_JPEG_EXTRAS = {*range(jpeg.APP1, jpeg.APP14), jpeg.APP15, jpeg.COM}  # APP0 and APP14 say what the colours mean
_PNG_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_WEBP_EXTRAS = {b"ICCP", b"EXIF", b"XMP "}
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in coded data: no stuffing, no restarts, no fill


def bare(data: bytes, content_type: str) -> bytes:
    """`data` reduced to its picture. Raises `Rejected`: TOO_COMPLEX, or CORRUPT_IMAGE for files that are cut off."""
    source = Source(lambda start, stop: data[start:stop], len(data))
    return {"image/jpeg": _jpeg, "image/png": _png, "image/webp": _webp}[content_type](data, source)


def _jpeg(data: bytes, source: Source) -> bytes:
    parts = [data[:2]]
    frames = 0
    for segment in jpeg.segments(source):
        frames += segment.marker in jpeg.FRAMES
        if segment.stop > len(data):
            raise cut_off()
        if segment.marker == jpeg.SOS:
            parts.append(data[segment.start : _end_of_scans(data, segment.stop)])
        elif segment.marker not in _JPEG_EXTRAS:
            parts.append(data[segment.start : segment.stop])
    if frames != 1:
        raise damaged("it has no or several frame headers")
    return b"".join(parts)


def _end_of_scans(data: bytes, position: int) -> int:
    """Where the picture ends, counted from inside its first scan; a missing end is the decoder's to judge."""
    scans = 1
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            return len(data)
        marker = data[found.start() + 1]
        if marker == jpeg.EOI:
            return found.end()
        scans += marker == jpeg.SOS
        if scans > MAX_SCANS:
            raise Rejected(Reason.TOO_COMPLEX, f"The JPEG has more than {MAX_SCANS} scans.")
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        position = found.end() + (0 if marker in jpeg.ALONE else max(length, 2))
    raise Rejected(Reason.TOO_COMPLEX, f"The JPEG has more than {MAX_SEGMENTS} segments.")


def _png(data: bytes, source: Source) -> bytes:
    parts = [png.SIGNATURE]
    for chunk in png.chunks(source):
        if chunk.stop > len(data):
            raise cut_off()
        if chunk.kind in _PNG_NEEDED:
            parts.append(data[chunk.start : chunk.stop])
    return b"".join(parts)


def _webp(data: bytes, source: Source) -> bytes:
    """Up to the first frame; the canvas keeps its size, and the flags stay as they were."""
    kept = [chunk for chunk in webp.chunks(source) if chunk.kind not in _WEBP_EXTRAS]
    parts = [data[chunk.payload - 8 : chunk.stop + (chunk.stop - chunk.payload) % 2] for chunk in kept]
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
