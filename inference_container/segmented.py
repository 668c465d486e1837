"""What is asked about a photo, and what comes of it: plain values, no pixels, on both sides of a worker's socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import MasklineError


@dataclass(frozen=True, slots=True)
class Job:
    """A photo's file, and the names of what is wanted beside its mask."""

    data: bytes
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoded:
    """`sha256` of the PNG, hex. `classes`: one row per class that occurs, as the API shows them."""

    png: bytes
    sha256: str
    classes: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Segmented:
    """A photo without its pixels, its mask, and the further outputs by name. `width` x `height` px: upright, and of
    the mask. `seconds`: by stage; the forward is its whole batch's."""

    content_type: str
    width: int
    height: int
    mask: Encoded
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


Answer = Segmented | MasklineError
