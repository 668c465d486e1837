"""Query parameters of the JSON API, read and checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shared.adapters.local.entries import Preconditions
from shared.errors import Malformed

Query = Mapping[str, str]
_DIGITS = 19  # a 64-bit generation


def conditions_of(query: Query, prefix: str = "if") -> Preconditions:
    """`prefix` is `ifSource` for the source of a copy. A precondition that is not known is refused, never ignored."""
    unknown = f"{prefix}MetagenerationNotMatch"
    if unknown in query:
        raise Malformed(f"{unknown} is not supported here")
    return Preconditions(
        number(query, f"{prefix}GenerationMatch"),
        number(query, f"{prefix}GenerationNotMatch"),
        number(query, f"{prefix}MetagenerationMatch"),
    )


def number(query: Query, name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise Malformed(f"{name} is a number")
    return int(text)
