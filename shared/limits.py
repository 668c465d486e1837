"""What a photo may be at most, and at least: the numbers of the contract in one place.

Beyond them a photo is REJECTED with a reason, never half-processed. Knows nothing of formats or bytes.
"""

from __future__ import annotations

import math

from shared.errors import Rejected
from shared.prediction import Reason

MIB = 1 << 20
MAX_BYTES = 20 * MIB  # a 48-megapixel phone JPEG has 4 to 15 MiB
MAX_PIXELS = 50_000_000
MIN_SIDE = 16  # px
MAX_SIDE = 16_384  # px
MAX_ASPECT = 100  # long side over short side
MAX_SCANS = 100  # of a progressive JPEG; ordinary ones have about 10, every scan costs a pass over all pixels
MAX_SEGMENTS = 1_000  # of a JPEG: markers that carry a length
MAX_CHUNKS = 10_000  # of a PNG or WebP
MAX_MASK_BYTES = 1 * MIB  # a corrected mask sent as feedback


def check_size(size: int) -> None:
    """Raises `Rejected` for a file of `size` bytes that is empty or too large."""
    if size <= 0:
        raise Rejected(Reason.CORRUPT_IMAGE, "The file is empty.")
    if size > MAX_BYTES:
        raise Rejected(
            Reason.TOO_LARGE, f"The file has {size / MIB:.1f} MiB; at most {MAX_BYTES // MIB} MiB are accepted."
        )


def check_dimensions(width: int, height: int) -> None:
    """Raises `Rejected` for a photo of width x height px that has too many pixels or an impossible shape."""
    short, long = sorted((width, height))
    if width * height > MAX_PIXELS:
        raise Rejected(
            Reason.TOO_MANY_PIXELS,
            f"The photo has {width} x {height} px, {math.ceil(width * height / 1e4) / 100:g} megapixels; "
            f"at most {MAX_PIXELS // 1_000_000} megapixels are accepted.",
        )
    if short < MIN_SIDE or long > MAX_SIDE:
        raise Rejected(
            Reason.BAD_DIMENSIONS,
            f"The photo has {width} x {height} px; each side must have {MIN_SIDE} to {MAX_SIDE} px.",
        )
    if long > MAX_ASPECT * short:
        raise Rejected(
            Reason.BAD_DIMENSIONS,
            f"The photo has {width} x {height} px; the long side may be at most {MAX_ASPECT} times the short one.",
        )
