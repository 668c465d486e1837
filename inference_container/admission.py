"""Who may come in: decided before a body is read, by how many are inside, how large their photos are, and how long the
last ones took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import Busy

PIXELS_PER_PLACE = 16_000_000  # px that a place is meant for; a larger photo leaves room for fewer others
_CROWDED = "This instance is busy; try again soon."


class Place:
    """One photo inside. Its size is known only once its header was read."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._pixels = 0

    def weigh(self, pixels: int) -> None:
        """From now on this photo counts with so many pixels."""
        self._admission.pixels += pixels - self._pixels
        self._pixels = pixels


class Admission:
    """At most `limit` photos inside, no more once their pixels fill all places, and nobody who would have to wait
    longer than `patience` seconds.

    For one event loop; `seconds_per_photo` is what the device needed lately.
    """

    def __init__(self, limit: int, patience: float) -> None:
        self.limit = limit
        self.patience = patience
        self.inside = 0
        self.pixels = 0
        self.seconds_per_photo = 0.0

    @contextmanager
    def entered(self) -> Iterator[Place]:
        """Raises `Busy`."""
        self.check()
        self.inside += 1
        place = Place(self)
        try:
            yield place
        finally:
            place.weigh(0)
            self.inside -= 1

    def check(self) -> None:
        expected = (self.inside + 1) * self.seconds_per_photo
        if expected > self.patience and self.inside:
            raise Busy(_CROWDED, expected - self.patience)
        if self.inside >= self.limit or self.pixels >= self.limit * PIXELS_PER_PLACE:
            raise Busy(_CROWDED, max(self.seconds_per_photo, 1.0))
