"""Firestore goes away in the middle of a prediction and comes back: the official emulator, killed and started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from local.emulators import Emulator, free_port, start_firestore
from shared.adapters.google.documents import FirestoreDocuments
from shared.errors import AlreadyExists, Retryable
from shared.prediction import Phase, Prediction, State
from shared.store import PredictionStore
from tests.contract import emulators
from tests.integration.containers import wait_for

NOW = datetime.now(UTC)
PHOTO = Prediction(
    id="p" + "a" * 25,
    owner_uid="ana",
    state=State.QUEUED,
    phase=Phase.QUEUED,
    bucket="uploads",
    object="a.jpg",
    deadline=NOW + timedelta(hours=1),
    expire_time=NOW + timedelta(days=1),
    create_time=NOW,
)


@contextmanager
def firestore(port: int) -> Iterator[Emulator]:
    emulator = start_firestore(port=port)
    try:
        yield emulator
    finally:
        emulator.stop()


def create(store: PredictionStore) -> None:
    """A slow first attempt that is repeated meets its own effect."""
    with suppress(AlreadyExists):
        store.create(PHOTO)


def claimed(prediction: Prediction, now: datetime) -> Prediction | None:
    if prediction.state is State.RUNNING:
        return None
    return prediction.moved(State.RUNNING, Phase.DECODING, claims=1)


def test_an_outage_is_a_typed_error_after_few_attempts_and_then_over() -> None:
    emulators.required()
    port = free_port()
    documents = FirestoreDocuments("test-outage", f"127.0.0.1:{port}")
    store = PredictionStore(documents)
    with firestore(port) as emulator:
        create(store)
        os.killpg(emulator.process.pid, signal.SIGKILL)
        emulator.process.wait()
        for call in (lambda: store.update(PHOTO.id, claimed), lambda: documents.query("predictions")):
            with pytest.raises(Retryable, match="Firestore is not available"):
                call()
    with firestore(port):  # the same clients; an emulator that was killed has forgotten everything
        wait_for(lambda: answers(store), "the connection to come back")
        create(store)
        done = store.update(PHOTO.id, claimed)
        assert done is not None
        assert (done.state, done.claims) == (State.RUNNING, 1)
    documents.close()


def answers(store: PredictionStore) -> bool:
    try:
        return store.get(PHOTO.id) is None
    except Retryable:
        return False
