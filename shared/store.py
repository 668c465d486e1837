"""Predictions over the `Documents` port: every change is a compare-and-set on what was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.errors import Conflict, Retryable
from shared.ports import Documents
from shared.prediction import Prediction, from_data, path_of, to_data

_ATTEMPTS = 20  # losers of a race re-read and decide again; each loss means that somebody else made progress

Change = Callable[[Prediction, datetime], Prediction | None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A prediction as read, by the store's clock."""

    prediction: Prediction
    version: str
    update_time: datetime
    read_time: datetime


class PredictionStore:
    def __init__(self, documents: Documents) -> None:
        self.documents = documents

    def get(self, prediction_id: str) -> Snapshot | None:
        document = self.documents.get(path_of(prediction_id))
        if document is None:
            return None
        return Snapshot(from_data(document.data), document.version, document.update_time, document.read_time)

    def create(self, prediction: Prediction) -> None:
        """Raises `AlreadyExists`."""
        self.documents.create(prediction.path, to_data(prediction))

    def update(self, prediction_id: str, change: Change, known: Snapshot | None = None) -> Prediction | None:
        """As `changed`, without what only another change would need."""
        snapshot = self.changed(prediction_id, change, known)
        return None if snapshot is None else snapshot.prediction

    def changed(self, prediction_id: str, change: Change, known: Snapshot | None = None) -> Snapshot | None:
        """Apply `change(prediction, now)` until nobody interferes; None from `change` writes nothing. `known`: what the
        caller saw last; if nobody has written since, it need not be read again.

        Returns what the document now says, or None if there is no document. Raises `Retryable` after losing 20 races.
        """
        for _ in range(_ATTEMPTS):
            snapshot = known or self.get(prediction_id)
            if snapshot is None:
                return None
            changed = change(snapshot.prediction, snapshot.read_time)
            fresh, known = known is None, None
            if changed is None:
                if fresh:
                    return snapshot
                continue  # that was decided on what may be old
            try:
                written = self.documents.replace(changed.path, to_data(changed), snapshot.version)
                return Snapshot(changed, written.version, written.update_time, written.read_time)
            except Conflict:
                continue
        raise Retryable("the prediction is being changed by many writers")
