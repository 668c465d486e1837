"""Whether the pixel data of a PNG has all its rows, counted without keeping any. Costs one more pass of inflating."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from shared.probe import png
from shared.probe.source import Source, damaged

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # x y dx dy
_FED, _TAKEN = 64 << 10, 1 << 20  # bytes at a time


def check_rows(data: bytes) -> None:
    """Raises `Rejected` (CORRUPT_IMAGE) if the PNG `data` ends before its last row; zlib.error if it is damaged."""
    header, *chunks = png.chunks(Source(lambda start, stop: data[start:stop], len(data)))
    missing = _expected(data[header.payload : header.stop])
    for size in _inflated(data[chunk.payload : chunk.stop - 4] for chunk in chunks if chunk.kind == b"IDAT"):
        missing -= size
        if missing <= 0:
            return
    raise damaged("its last rows are missing")


def _expected(header: bytes) -> int:
    """Bytes of all rows, each with its filter type, of an IHDR's content."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits = header[8] * _CHANNELS[header[9]]
    total = 0
    for x, y, dx, dy in _ADAM7 if header[12] else _WHOLE:
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total


def _inflated(parts: Iterator[bytes]) -> Iterator[int]:
    """Sizes of what comes out, piece by piece: neither a bomb nor a long tail is ever held."""
    inflater = zlib.decompressobj()
    for part in parts:
        for at in range(0, len(part), _FED):
            yield len(inflater.decompress(part[at : at + _FED], _TAKEN))
            while inflater.unconsumed_tail:
                yield len(inflater.decompress(inflater.unconsumed_tail, _TAKEN))
    yield len(inflater.flush())
