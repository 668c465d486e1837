"""Byte ranges, asked for and sent. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.errors import Malformed

_ASKED = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_SENT = re.compile(r"bytes (?:(\d{1,19})-(\d{1,19})|\*)/(?:(\d{1,19})|\*)")


class Unsatisfiable(Exception):
    """The range begins behind the last byte."""


def span_of(header: str, size: int) -> tuple[int, int] | None:
    """[start, stop) of `Range`; None: the whole object, also for what is no single range, as HTTP allows."""
    asked = _ASKED.fullmatch(header.replace(" ", ""))
    if asked is None or asked[1] == asked[2] == "":
        return None
    if asked[1] == "":
        span = max(0, size - int(asked[2])), size
    else:
        span = int(asked[1]), size if asked[2] == "" else min(size, int(asked[2]) + 1)
        if asked[2] and int(asked[2]) < int(asked[1]):
            return None
    if span[0] >= size:
        raise Unsatisfiable
    return span


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a resumable upload: bytes [start, stop) of `total`. `start` None: only asks how far it got; `stop` or
    `total` None: not known yet."""

    start: int | None
    stop: int | None
    total: int | None

    def ends_at(self, offset: int, body: bool) -> bool:
        """Whether the upload is whole with `offset` bytes; `body`: this request's body was read to its end."""
        if self.start is not None and self.stop is None:
            return body
        return self.total == offset


def piece_of(header: str) -> Piece:
    """`Content-Range` of a resumable upload; without one, the body is all that there is."""
    if not header:
        return Piece(0, None, None)
    sent = _SENT.fullmatch(header)
    if sent is None:
        raise Malformed("Content-Range is `bytes first-last/total`")
    start, stop, total = (None if part is None else int(part) for part in sent.groups())
    if start is None or stop is None:
        return Piece(None, None, total)
    if stop < start or (total is not None and stop >= total):
        raise Malformed("Content-Range contradicts itself")
    return Piece(start, stop + 1, total)
