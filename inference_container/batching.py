"""Which photos form the next batch: pure decisions, no clock, no threads, no tensors.

First come, first served: the oldest photo decides the shape, the others of its shape join it in their order. Photos of
different shapes never share a batch (nothing is padded), nor do photos that together take long to decode, and a photo
on its last chance runs alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

Shape = tuple[int, int]  # in px at model size; (0, 0): not known


@dataclass(frozen=True, slots=True)
class Waiting:
    """A photo in line, oldest first. `since`: seconds on the caller's monotonic clock; `source`: px of its file."""

    shape: Shape
    since: float
    exclusive: bool = False
    source: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one batch may hold."""

    photos: int
    pixels: int  # at model size
    wait: float  # seconds that its first photo waits for company
    source: int = 16_000_000  # px of the files; small photos are not to wait for the decoding of large ones


@dataclass(frozen=True, slots=True)
class Choice:
    """Positions in the line that run now, in order; or nothing, and when to look again (None: on the next change)."""

    positions: tuple[int, ...] = ()
    look_again: float | None = None


def next_batch(
    line: Sequence[Waiting], limits: Limits, now: float, *, coming: int = 0, idle: int = 1, running: int = 0
) -> Choice:
    """`coming`: photos still on their way here; `idle` workers are free, `running` batches are with others.

    Free workers share what waits. With nobody on the way there is nothing to wait for.
    """
    if not line:
        return Choice()
    first = line[0]
    if first.exclusive:
        return Choice() if running else Choice((0,))
    bucket = [at for at, one in enumerate(line) if one.shape == first.shape and not one.exclusive]
    room = capacity(first.shape, limits)
    ready_at = first.since + limits.wait
    if len(bucket) < room and coming > 0 and now < ready_at:
        return Choice(look_again=ready_at)
    share = math.ceil(len(bucket) / max(idle, 1))
    sources = accumulate(line[at].source for at in bucket)
    light = sum(1 for total in sources if total <= limits.source)
    return Choice(tuple(bucket[: min(room, share, max(light, 1))]))


def capacity(shape: Shape, limits: Limits) -> int:
    """Photos of `shape` per batch: at least one, however large it is."""
    return max(1, min(limits.photos, limits.pixels // max(shape[0] * shape[1], 1)))
