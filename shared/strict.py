"""JSON that every reader understands alike, for what strangers sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn


def loads(text: str, parse_float: Callable[[str], float] = float) -> Any:
    """No key twice, no NaN, no infinity, only text that UTF-8 can hold. Raises ValueError, RecursionError."""
    document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=parse_float)
    json.dumps(document, ensure_ascii=False).encode()  # halves of surrogate pairs could be neither stored nor answered
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values for one key nobody may choose: whoever looked before may have chosen the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
