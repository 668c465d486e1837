"""What one user may have: each limit by itself, over all processes, whoever races; and nobody pays for others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import quotas
from shared.errors import Conflict, OverQuota
from shared.prediction import Phase, Prediction, State
from shared.quotas import Charge, Usage, at, decide
from shared.settings import Settings
from tests.domain import World, world

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MIB = 1 << 20


def limits(**changes: Any) -> Settings:
    return Settings.from_env({}, quotas=True, **changes)


LIMITS = limits()


def spent(usage: Usage | None = None, photos: int = 1, settings: Settings = LIMITS, size: int = MIB) -> Usage:
    """After so many photos, all allowed."""
    usage = usage or at(None, NOON, settings)
    for number in range(photos):
        decided = decide(usage, Charge(f"{usage.time}-{usage.photos}-{number}", size), settings)
        assert isinstance(decided, Usage)
        usage = decided
    return usage


def refused(usage: Usage, wanted: Charge = Charge("new", MIB), settings: Settings = LIMITS) -> OverQuota:  # noqa: B008
    decided = decide(usage, wanted, settings)
    assert isinstance(decided, OverQuota)
    return decided


def test_twenty_at_once_then_ten_a_second() -> None:
    usage = spent(photos=20)
    refusal = refused(usage)
    assert (refusal.limit, refusal.allowed) == ("photosPerSecond", 10)
    assert refusal.retry_after == pytest.approx(0.1)
    assert refused(spent(at(usage, NOON + timedelta(seconds=1), LIMITS), 10)).limit == "photosPerSecond"
    assert spent(at(usage, NOON + timedelta(hours=1), LIMITS), 20).tokens == 0  # the burst, however long nobody came


def test_the_day_has_an_end_and_so_has_its_count() -> None:
    small = limits(quota_daily_photos=3)
    usage = spent(photos=3, settings=small)
    refusal = refused(usage, settings=small)
    assert (refusal.limit, refusal.allowed, refusal.retry_after) == ("photosPerDay", 3, 12 * 3600)
    late = at(usage, NOON + timedelta(hours=12, seconds=-1), small)
    assert refused(late, settings=small).retry_after == 1
    assert spent(at(usage, NOON + timedelta(hours=12), small), 3, small).photos == 3


def test_bytes_of_a_day_are_counted_as_announced() -> None:
    usage = spent(photos=2, settings=(small := limits(quota_daily_bytes=3 * MIB)))
    assert refused(usage, Charge("new", 2 * MIB), small).limit == "bytesPerDay"
    assert isinstance(decide(usage, Charge("new", MIB), small), Usage)


def test_what_is_unfinished_is_limited_and_what_was_charged_is_not_charged_again() -> None:
    small = limits(quota_unfinished=2)
    usage = spent(photos=2, settings=small)
    assert refused(usage, settings=small).limit == "unfinishedPhotos"
    known = next(iter(usage.unfinished))
    assert decide(usage, Charge(known, MIB), small) == usage


def test_copied_photos_count_towards_the_day_only() -> None:
    small = limits(quota_unfinished=1, quota_daily_photos=30)
    usage = spent(settings=small)
    for number in range(29):
        decided = decide(usage, Charge(f"h{number}", MIB, announced=False), small)
        assert isinstance(decided, Usage)
        usage = decided
    assert refused(usage, Charge("h", MIB, announced=False), small).limit == "photosPerDay"


def test_a_clock_that_was_set_back_gives_nothing_and_takes_nothing() -> None:
    usage = spent(photos=5)
    assert at(usage, NOON - timedelta(days=1), LIMITS) == usage


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 30)), max_size=40))
def test_no_pattern_of_arrivals_gets_more_than_burst_and_rate(arrivals: list[tuple[float, int]]) -> None:
    usage, got, waited = at(None, NOON, LIMITS), 0, 0.0
    for pause, count in arrivals:
        waited += pause
        usage = at(usage, NOON + timedelta(seconds=waited), LIMITS)
        for number in range(count):
            decided = decide(replace(usage, unfinished={}), Charge(f"{waited}-{number}", 1), LIMITS)
            if isinstance(decided, Usage):
                usage, got = decided, got + 1
    assert got <= LIMITS.quota_burst + LIMITS.quota_per_second * waited + 1e-6


# -- over the store


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[World]:
    quotas._counted.clear()
    with world(tmp_path, quotas=True, quota_burst=1000, quota_unfinished=10) as made:
        yield made


def charge(shop: World, uid: str, name: str) -> bool:
    try:
        quotas.charge(shop.runtime, uid, Charge(name, MIB))
    except OverQuota:
        return False
    return True


def prediction(shop: World, name: str, uid: str = "ana", state: State = State.QUEUED) -> None:
    now = shop.now
    shop.runtime.store.create(
        Prediction(name, uid, state, Phase.QUEUED, "uploads", f"users/{uid}/{name}", now, now, now)
    )


def test_limits_hold_under_fifty_requests_at_once_and_cost_less_than_a_write_each(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[str] = []
    original = shop.documents.replace

    def counted(path: str, data: dict[str, Any], version: str) -> Any:
        writes.append(path)
        return original(path, data, version)

    monkeypatch.setattr(shop.documents, "replace", counted)
    with ThreadPoolExecutor(50) as threads:
        got = list(threads.map(lambda number: charge(shop, "ana", f"p{number}"), range(50)))
        others = list(threads.map(lambda number: charge(shop, f"user{number}", "p"), range(20)))
    assert (sum(got), sum(others)) == (10, 20)
    assert len(writes) <= 10


def test_two_processes_that_race_for_the_last_place_do_not_both_get_it(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        assert charge(shop, "ana", f"p{number}")
    original = shop.documents.replace
    raced: list[bool] = []

    def overtaken(path: str, data: dict[str, Any], version: str) -> Any:
        if not raced:
            raced.append(True)
            known = shop.documents.get(path)
            assert known is not None
            original(path, known.data | {"unfinished": known.data["unfinished"] | {"other": shop.now}}, known.version)
        return original(path, data, version)

    monkeypatch.setattr(shop.documents, "replace", overtaken)
    assert not charge(shop, "ana", "mine")
    assert raced


def test_photos_that_ended_make_room_without_telling_anybody(shop: World) -> None:
    for number in range(10):
        name = f"p{number}"
        assert charge(shop, "ana", name)
        prediction(shop, name, state=State.SUCCEEDED if number < 4 else State.RUNNING)
    assert not charge(shop, "ana", "q0")  # just charged: it might still become a prediction
    quotas._counted.clear()
    shop.wait(11)
    assert [charge(shop, "ana", f"q{number}") for number in range(5)] == [True] * 4 + [False]


def test_whoever_keeps_knocking_does_not_make_the_store_count_each_time(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        charge(shop, "ana", f"p{number}")
    asked: list[str] = []
    original = shop.documents.query

    def counted(collection: str, *given: Any, **more: Any) -> Any:
        asked.append(collection)
        return original(collection, *given, **more)

    monkeypatch.setattr(shop.documents, "query", counted)
    quotas._counted.clear()
    assert not any(charge(shop, "ana", f"q{number}") for number in range(30))
    assert len(asked) <= 2


def test_a_store_that_never_lets_one_through_is_a_passing_fault(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    charge(shop, "ana", "p0")

    def contended(*_: Any) -> Any:
        raise Conflict("changed")

    monkeypatch.setattr(shop.documents, "replace", contended)
    with pytest.raises(Exception, match="try again"):
        charge(shop, "ana", "p1")


def test_the_document_says_nothing_of_its_user_and_goes_after_days(shop: World) -> None:
    assert charge(shop, "__ana@example.com__", "p0")
    [found] = shop.documents.query(quotas.COLLECTION)
    assert "ana" not in found.path + str(found.data)
    quotas.forget(shop.runtime, shop.now + timedelta(days=1))
    assert len(shop.documents.query(quotas.COLLECTION)) == 1
    quotas.forget(shop.runtime, shop.now + timedelta(days=3))
    assert shop.documents.query(quotas.COLLECTION) == []


# -- files copied into the bucket


def test_a_copied_file_beyond_the_quota_is_rejected_and_its_neighbours_are_not(tmp_path: Path) -> None:
    with world(tmp_path, quotas=True, quota_daily_photos=2) as stage:
        ended = [stage.queued(f"users/ana/{number}.png") for number in range(3)]
        assert [one.state for one in ended] == [State.QUEUED, State.QUEUED, State.REJECTED]
        assert ended[2].error["reason"] == "QUOTA_EXCEEDED"
        assert stage.queued("users/bob/1.png").state is State.QUEUED
        assert stage.queued("operators/1.png").state is State.QUEUED
        stage.accept(stage.upload("users/ana/3.png"))
        assert len(stage.queue.messages) == 4
