"""What `maskline doctor` says of one check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`ok`, or what is wrong and the `next` step."""

    check: str
    ok: bool
    message: str
    next: str = ""
