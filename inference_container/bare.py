"""The same picture without what a decoder need not see: metadata, thumbnails, further frames, whatever follows it.

Decoders parse less, bombs hidden in text or colour profiles never open, and nobody's place of living reaches a model.
Runs before the decoder and counts what makes decoding dear. Knows structure only, no pixels.
"""

from __future__ import annotations

from inference_container.scans import coded
from shared.probe import jpeg, png, webp
from shared.probe.source import Source, cut_off, damaged

_JPEG_EXTRAS = {*range(jpeg.APP1, jpeg.APP14), jpeg.APP15, jpeg.COM}  # APP0 and APP14 say what the colours mean
_PNG_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_WEBP_EXTRAS = {b"ICCP", b"EXIF", b"XMP "}
_INDEXED = 3  # PNG's colour type


def bare(data: bytes, content_type: str) -> bytes:
    """`data` reduced to its picture. Raises `Rejected`: TOO_COMPLEX, or CORRUPT_IMAGE for files that are cut off."""
    source = Source(lambda start, stop: data[start:stop], len(data))
    return {"image/jpeg": _jpeg, "image/png": _png, "image/webp": _webp}[content_type](data, source)


def _jpeg(data: bytes, source: Source) -> bytes:
    parts = [data[:2]]
    frames = []
    for segment in jpeg.segments(source):
        if segment.stop > len(data):
            raise cut_off()
        if segment.marker in jpeg.FRAMES:
            frames.append(segment)
        if segment.marker == jpeg.SOS and len(frames) == 1:
            parts.append(coded(data, frames[0], segment))
        elif segment.marker not in _JPEG_EXTRAS:
            parts.append(data[segment.start : segment.stop])
    if len(frames) != 1:
        raise damaged("it has no or several frame headers")
    return b"".join(parts)


def _png(data: bytes, source: Source) -> bytes:
    parts = [png.SIGNATURE]
    found = [chunk for chunk in png.chunks(source) if chunk.kind in _PNG_NEEDED]
    for chunk in found:
        if chunk.stop > len(data):
            raise cut_off()
        parts.append(data[chunk.start : chunk.stop])
    indexed = data[found[0].payload + 9] == _INDEXED
    if indexed and not any(chunk.kind == b"PLTE" for chunk in found):
        raise damaged("its palette is missing")
    return b"".join(parts)


def _webp(data: bytes, source: Source) -> bytes:
    """Up to the first frame; the canvas keeps its size, and the flags stay as they were."""
    kept = [chunk for chunk in webp.chunks(source) if chunk.kind not in _WEBP_EXTRAS]
    parts = [data[chunk.payload - 8 : chunk.stop + (chunk.stop - chunk.payload) % 2] for chunk in kept]
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
