"""Changes of a prediction are compare-and-set: nobody's step is lost, and nothing is written without need."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.errors import AlreadyExists, Conflict, Retryable
from shared.prediction import Prediction
from tests.domain import World


def counted(prediction: Prediction, _: datetime) -> Prediction:
    return replace(prediction, claims=prediction.claims + 1)


def test_racing_changes_are_all_made(domain: World) -> None:
    name = domain.queued().id
    with ThreadPoolExecutor(4) as pool:  # fewer changes than anybody may lose races
        list(pool.map(lambda _: domain.runtime.store.update(name, counted), range(16)))
    assert domain.get(name).claims == 16


def test_a_loser_decides_again_on_what_it_finds(domain: World) -> None:
    name = domain.queued().id
    seen = []

    def change(prediction: Prediction, now: datetime) -> Prediction:
        seen.append(prediction.claims)
        if len(seen) == 1:
            domain.change(name, claims=7)
        return counted(prediction, now)

    changed = domain.runtime.store.update(name, change)
    assert changed is not None
    assert (seen, changed.claims) == ([0, 7], 8)


def test_who_always_loses_gives_up_for_now(domain: World) -> None:
    name = domain.queued().id

    def change(prediction: Prediction, now: datetime) -> Prediction:
        domain.runtime.store.update(name, counted)
        return replace(prediction, fence=1)

    with pytest.raises(Retryable):
        domain.runtime.store.update(name, change)
    assert domain.get(name).fence == 0


def test_no_change_writes_nothing(domain: World) -> None:
    prediction = domain.queued()
    before = domain.documents.get(prediction.path)
    assert domain.runtime.store.update(prediction.id, lambda *_: None) == prediction
    after = domain.documents.get(prediction.path)
    assert before is not None
    assert after is not None
    assert after.version == before.version


def test_what_does_not_exist_is_not_changed(domain: World) -> None:
    assert domain.runtime.store.update("p" + "a" * 25, counted) is None
    assert domain.runtime.store.get("p" + "a" * 25) is None


def test_a_prediction_is_created_once(domain: World) -> None:
    with pytest.raises(AlreadyExists):
        domain.runtime.store.create(domain.queued())


def test_decisions_go_by_the_stores_clock(domain: World) -> None:
    name = domain.queued().id
    domain.wait(3600)
    times: list[datetime] = []
    domain.runtime.store.update(name, lambda _, now: times.append(now))
    assert abs(times[0] - domain.now) < timedelta(seconds=60)


def test_a_write_that_met_its_own_lost_first_try_is_decided_again(domain: World) -> None:
    name = domain.queued().id
    domain.documents.lost = Conflict("the adapter's second try met its first")
    domain.runtime.store.update(name, lambda stored, now: counted(stored, now) if stored.claims == 0 else None)
    assert domain.get(name).claims == 1


def test_what_is_known_is_not_read_again(domain: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store, name = domain.runtime.store, domain.queued().id
    known = store.changed(name, counted)
    assert known is not None
    monkeypatch.setattr(domain.documents, "get", None)
    again = store.changed(name, counted, known)
    assert again is not None
    assert store.update(name, counted, again) == replace(known.prediction, claims=3)


def test_what_was_known_and_is_old_decides_nothing(domain: World) -> None:
    store, name = domain.runtime.store, domain.queued().id
    old = store.get(name)
    domain.change(name, claims=7)
    changed = store.update(name, counted, old)
    assert changed is not None
    assert changed.claims == 8
    seen: list[int] = []
    store.update(name, lambda stored, _: seen.append(stored.claims), old)
    assert seen == [0, 8]
