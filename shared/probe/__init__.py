"""What a file is and how large its picture is, from a few reads of its beginning, before anything is decoded.

Judged by content: names and declared types are never asked. Standard library only, so that a function starts cold
in no time. Knows no pixels; a file that passes may still be damaged further on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared import limits
from shared.errors import Rejected
from shared.prediction import Reason
from shared.probe import jpeg, png, webp
from shared.probe.names import looks_like
from shared.probe.source import Measure, Read, Source

__all__ = ["Header", "Read", "probe", "probe_bytes"]

_SNIFFED = 256  # bytes
_FORMATS: tuple[tuple[Callable[[bytes], bool], str, Callable[[Source], Measure]], ...] = (
    (jpeg.recognises, "image/jpeg", jpeg.measure),
    (png.recognises, "image/png", png.measure),
    (webp.recognises, "image/webp", webp.measure),
)


@dataclass(frozen=True, slots=True)
class Header:
    """`width` x `height` px are those of the upright photo; `orientation` is EXIF's 1 to 8."""

    content_type: str
    width: int
    height: int
    orientation: int

    @property
    def lying(self) -> bool:
        """The file stores rows where the upright photo has columns."""
        return self.orientation >= 5

    @property
    def stored(self) -> tuple[int, int]:
        """(width, height) in px as the file stores them, before any turning."""
        return (self.height, self.width) if self.lying else (self.width, self.height)


def probe(read: Read, size: int) -> Header:
    """The header of a JPEG (MPO too), PNG or WebP of `size` bytes; `read(start, stop)` returns those bytes of it.

    One read of 64 KiB settles most photos; no file takes more than about 30. Raises `Rejected` with
    UNSUPPORTED_MEDIA, TOO_LARGE, TOO_MANY_PIXELS, BAD_DIMENSIONS, TOO_COMPLEX or CORRUPT_IMAGE, and whatever
    `read` raises.
    """
    limits.check_size(size)
    source = Source(read, size)
    head = source.take(0, min(_SNIFFED, size))
    for recognises, content_type, measure in _FORMATS:
        if recognises(head):
            stored = measure(source)
            limits.check_dimensions(stored.width, stored.height)
            return _upright(content_type, stored)
    raise Rejected(Reason.UNSUPPORTED_MEDIA, f"{looks_like(head)} Please send a JPEG, PNG or WebP photo.")


def probe_bytes(data: bytes) -> Header:
    """`probe` for a file that is in memory."""
    return probe(lambda start, stop: data[start:stop], len(data))


def _upright(content_type: str, stored: Measure) -> Header:
    turned = stored.orientation >= 5
    width, height = (stored.height, stored.width) if turned else (stored.width, stored.height)
    return Header(content_type, width, height, stored.orientation)
