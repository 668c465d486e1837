"""What a kind of file is, and the ways of damaging one that all formats share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from shared.prediction import Reason

Size = tuple[int, int]  # (width, height) in px, upright
SIZE: Size = (64, 48)  # of nearly every picture here


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file. `make` gives the same bytes every time; `expected` is the accepted photo's size or the reason.

    `heavy`: close to what the limits allow, so dear to make and to decode.
    """

    name: str
    make: Callable[[], bytes]
    expected: Size | Reason
    heavy: bool = False


def kinds(prefix: str, expected: Size | Reason, heavy: bool = False, **makers: Callable[[], bytes]) -> list[Kind]:
    """Kinds with one outcome, by name."""
    return [Kind(f"{prefix} {name.replace('_', ' ')}", make, expected, heavy) for name, make in makers.items()]


def cut(prefix: str, make: Callable[[], bytes]) -> list[Kind]:
    """Cut off after 30 bytes, 10, 50, 90 and 99 %, and one byte before the end."""

    def part(share: float) -> Callable[[], bytes]:
        return lambda: make()[: max(30, int(len(make()) * share))]

    shares = {f"cut at {share:.0%}": part(share) for share in (0.0, 0.1, 0.5, 0.9, 0.99)}
    makers = shares | {"cut by one byte": lambda: make()[:-1]}
    return [Kind(f"{prefix} {name}", maker, Reason.CORRUPT_IMAGE) for name, maker in makers.items()]


def noise(count: int, seed: int = 7) -> bytes:
    return Random(seed).randbytes(count)
