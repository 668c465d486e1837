"""Who may come in: decided before a body is read, by how many are inside and how long the last ones took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import Busy

_CROWDED = "This instance is busy; try again soon."


class Admission:
    """At most `limit` photos inside, and nobody who would have to wait longer than `patience` seconds.

    For one event loop; `seconds_per_photo` is what the device needed lately.
    """

    def __init__(self, limit: int, patience: float) -> None:
        self.limit = limit
        self.patience = patience
        self.inside = 0
        self.seconds_per_photo = 0.0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Raises `Busy`."""
        self.check()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def check(self) -> None:
        expected = (self.inside + 1) * self.seconds_per_photo
        if expected > self.patience and self.inside:
            raise Busy(_CROWDED, expected - self.patience)
        if self.inside >= self.limit:
            raise Busy(_CROWDED, max(self.seconds_per_photo, 1.0))
