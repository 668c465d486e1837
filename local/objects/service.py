"""What every request works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from local.objects.metrics import Metrics, Way
from local.objects.sessions import Sessions
from shared.adapters.local.entries import Entry
from shared.adapters.local.objects import LocalObjects


@dataclass(frozen=True, slots=True)
class Service:
    """`written` wakes whoever relays notifications."""

    objects: LocalObjects
    sessions: Sessions
    metrics: Metrics
    written: Callable[[], None]

    def stored(self, way: Way, entry: Entry) -> None:
        self.metrics.stored(way, entry.info.size)
        self.written()
