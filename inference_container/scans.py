"""A JPEG's coded picture (ITU-T T.81 annexes B and G): where it ends, what it costs, whether all of it is there.

libjpeg paints what is missing grey and calls it a warning that Pillow does not pass on: a photo that was cut off and
closed again would pass as whole. So a picture of one scan is handed on without its end marker: the decoder then asks
for more until it has every pixel, and a file that has no more is an error. Where the picture takes several scans their
headers must add up; data that ends early inside one of those is not found.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from shared.errors import Rejected
from shared.limits import MAX_SCANS, MAX_SEGMENTS
from shared.prediction import Reason
from shared.probe import jpeg
from shared.probe.jpeg import Segment
from shared.probe.source import cut_off, damaged

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in coded data: no stuffing, no restarts, no fill
_PROGRESSIVE = 0xC2
_COEFFICIENTS = frozenset(range(64))  # of a block; the first one is its mean
_LOOKAHEAD = bytes(16)  # libjpeg reads up to 8 bytes ahead of what it decodes


class _Scan(NamedTuple):
    """What a scan header announces: whose coefficients, which of them, down to which bit."""

    components: bytes
    first: int
    last: int
    bit: int


def coded(data: bytes, frame: Segment, header: Segment) -> bytes:
    """The picture's bytes from its first scan's `header` on, without whatever follows the picture.

    Raises `Rejected`: TOO_COMPLEX, CORRUPT_IMAGE.
    """
    components = data[frame.payload + 6 : frame.stop : 3]
    scans, pause, end = _walked(data, header)
    if frame.marker != _PROGRESSIVE and set(scans[0].components) == set(components):
        return data[header.start : pause] + _LOOKAHEAD
    if not all(_whole(scans, one, frame.marker) for one in components):
        raise damaged("parts of its picture are missing")
    return data[header.start : end]


def _walked(data: bytes, header: Segment) -> tuple[list[_Scan], int, int]:
    """All scans, where the data of the first one ends, and where the picture does."""
    scans = [_scan(data, header.payload, header.stop)]
    pause = 0
    position = header.stop
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            raise cut_off()
        pause = pause or found.start()
        marker, start = data[found.start() + 1], found.end()
        if marker == jpeg.EOI:
            return scans, pause, start
        length = int.from_bytes(data[start : start + 2], "big")
        position = start + (0 if marker in jpeg.ALONE else max(length, 2))
        if marker == jpeg.SOS:
            scans.append(_scan(data, start + 2, position))
            _check_count(scans)
    raise Rejected(Reason.TOO_COMPLEX, f"The JPEG has more than {MAX_SEGMENTS} segments.")


def _check_count(scans: list[_Scan]) -> None:
    if len(scans) > MAX_SCANS:
        raise Rejected(Reason.TOO_COMPLEX, f"The JPEG has more than {MAX_SCANS} scans.")


def _scan(data: bytes, payload: int, stop: int) -> _Scan:
    body = data[payload:stop]
    if not body or len(body) != 4 + 2 * body[0]:
        raise damaged("a scan header has a wrong length")
    first, last, bits = body[-3:]
    return _Scan(body[1:-3:2], first, last, bits & 0x0F)


def _whole(scans: list[_Scan], component: int, marker: int) -> bool:
    """The scans hold every coefficient of a component, and its means to the last bit."""
    mine = [scan for scan in scans if component in scan.components]
    if marker != _PROGRESSIVE:
        return bool(mine)
    sent = {at for scan in mine for at in range(scan.first, scan.last + 1)}
    return sent >= _COEFFICIENTS and any(scan.first == scan.bit == 0 for scan in mine)
