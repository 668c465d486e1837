"""Corrected masks that people send: indexed PNG in, the same class ids as a clean PNG out. Knows no predictions.

Nothing of the sent file is kept but its pixels. Pillow is imported when the first mask comes: the API starts without.
"""

from __future__ import annotations

import hashlib
import io
import struct
import threading
from collections.abc import Collection
from dataclasses import dataclass

from shared.errors import Busy, Malformed
from shared.limits import MAX_MASK_BYTES, MIB

_HEAD = struct.Struct(">8sI4sIIBB")  # signature, length, IHDR, width, height, bit depth, colour type
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _PALETTE = 0, 3
_AT_ONCE = threading.BoundedSemaphore(2)  # a mask of 50 megapixels takes about 150 MB while it is read
_PATIENCE = 10.0  # s


@dataclass(frozen=True, slots=True)
class Correction:
    """`png`: 8-bit gray, the pixel is the class id. `digest`: SHA-256 of the pixels, row by row, hex."""

    png: bytes
    digest: str
    classes: tuple[int, ...]  # the ids in it


def read_correction(data: bytes, width: int, height: int, known: Collection[int]) -> Correction:
    """The mask in `data`, which must have `width` x `height` px and only the class ids in `known`.

    Raises `Malformed` with what is wrong, or `Busy`.
    """
    if len(data) > MAX_MASK_BYTES:
        raise Malformed(f"A corrected mask may have at most {MAX_MASK_BYTES // MIB} MiB.")
    _check_head(data, width, height)
    if not _AT_ONCE.acquire(timeout=_PATIENCE):
        raise Busy("Many masks are being read; please try again.")
    try:
        correction = _recoded(data)
    finally:
        _AT_ONCE.release()
    unknown = [str(one) for one in correction.classes if one not in known]
    if unknown:
        raise Malformed(f"The mask has class ids that the model does not have: {', '.join(unknown[:10])}.")
    return correction


def _check_head(data: bytes, width: int, height: int) -> None:
    """Before anything is decoded: the header alone says how much memory that would take."""
    if len(data) < _HEAD.size:
        raise Malformed("The mask is not a PNG file.")
    signature, _, chunk, wide, high, depth, colour = _HEAD.unpack_from(data)
    if (signature, chunk) != (_SIGNATURE, b"IHDR"):
        raise Malformed("The mask is not a PNG file.")
    if (wide, high) != (width, height):
        raise Malformed(f"The mask has {wide} x {high} px; the photo has {width} x {height} px, upright.")
    if colour != _PALETTE and (colour, depth) != (_GRAY, 8):
        raise Malformed("The mask must be an indexed PNG (or 8-bit gray) whose pixels are class ids.")


def _recoded(data: bytes) -> Correction:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            pixels, size = image.tobytes(), image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, struct.error):
        raise Malformed("The mask cannot be decoded.") from None
    gray = Image.frombytes("L", size, pixels)
    classes = tuple(value for value, count in enumerate(gray.histogram()) if count)
    file = io.BytesIO()
    gray.save(file, "PNG")
    return Correction(file.getvalue(), hashlib.sha256(pixels).hexdigest(), classes)
