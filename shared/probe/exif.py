"""The orientation tag of an EXIF block, and nothing else of it: metadata is not read."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_SHORT = 3  # TIFF's 16-bit unsigned integer
_PREFIX = b"Exif\0\0"
UPRIGHT = 1


def orientation(block: bytes) -> int:
    """1 to 8, as EXIF 2.32 section 4.6.4 counts them; 1 when the block is damaged or says nothing.

    `block` is TIFF-formed, with or without the `Exif` prefix. A wrong turn is a nuisance, a refused photo is worse.
    """
    tiff = block.removeprefix(_PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        return _search(tiff, order)
    except struct.error:  # a pointer that leaves the block
        return UPRIGHT


def _search(tiff: bytes, order: str) -> int:
    (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, directory)
    for index in range(count):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * index)
        if tag == _ORIENTATION:
            return value if kind == _SHORT and 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
