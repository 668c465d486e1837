"""What the audit says of messages: each planted fault is found, and what at-least-once delivery allows is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import pipeline
from shared.backlog import Finding, History, Limits, expected, grace, judged
from shared.ports import Figure, Figures, Messages, Waiting
from shared.prediction import Lane, Phase, Prediction, State
from shared.settings import Settings

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TABLE = pipeline.load()
LOCAL = Settings.from_env({})
CLOUD = Settings.from_env({}, profile="gcp", project="p")
QUEUE, DEAD, NOTIFIED = "segment-stable-interactive", "settle-segment-dead", "accept-uploads"
NEXT_PUSH = 70 + 60 + 10  # s: grace, ack deadline, longest pause
LONGEST = NEXT_PUSH + 900  # s: and the deadline of the work before it
REPUBLISHED = 120 + 70  # s: settle's patience, and the grace
NIGHT = 8 * 3600


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def photo(state: State = State.QUEUED, published: float = NIGHT, **changes: Any) -> Prediction:
    """Times in seconds before now; far from its deadline."""
    return Prediction(
        **{
            "id": "p1",
            "owner_uid": "ana",
            "state": state,
            "phase": Phase.QUEUED,
            "bucket": "uploads",
            "object": "users/ana/cat.png",
            "generation": 7,
            "deadline": NOW + timedelta(seconds=100),
            "expire_time": NOW + timedelta(days=30),
            "create_time": NOW - timedelta(seconds=500),
            "publish_time": ago(published),
            **changes,
        }
    )


def request(age: float = 0.0, subscription: str = QUEUE, number: str = "m1", of: str = "p1") -> Waiting:
    return Waiting(subscription, number, {"schemaVersion": "1", "predictionId": of}, ago(age))


def notification(age: float = 0.0, generation: int = 7, subscription: str = NOTIFIED) -> Waiting:
    attributes = {"bucketId": "uploads", "objectId": "users/ana/cat.png", "objectGeneration": str(generation)}
    return Waiting(subscription, "n1", {"eventType": "OBJECT_FINALIZE", **attributes}, ago(age))


def found(
    *waiting: Waiting, photos: tuple[Prediction, ...] = (), changed: float = NIGHT, since: float = 10 * NIGHT
) -> list[Finding]:
    history = History(photos, {one.id: ago(changed) for one in photos})
    messages = Messages(NOW, ago(since), waiting)
    return list(judged(messages, history, Limits(LOCAL, TABLE, photos), TABLE))


def kinds(findings: list[Finding]) -> list[str]:
    return [kind for kind, _ in findings]


# -- photos without a message


def test_a_queued_photo_without_a_message_is_missing_one_after_settle_had_its_time() -> None:
    assert found(photos=(photo(published=REPUBLISHED - 1),)) == []
    [(kind, line)] = found(photos=(photo(published=REPUBLISHED + 1),))
    assert (kind, line) == ("missing", "p1 QUEUED: no message for it waits anywhere")


@pytest.mark.parametrize("subscription", [QUEUE, DEAD, "segment-stable-bulk"])
def test_a_message_anywhere_will_do(subscription: str) -> None:
    assert found(request(subscription=subscription), photos=(photo(),)) == []


def test_so_will_the_notification_that_leads_to_one() -> None:
    assert found(notification(), photos=(photo(),)) == []
    assert kinds(found(notification(generation=6), photos=(photo(),))) == ["missing"]


def test_a_running_photo_needs_one_once_its_lease_is_over() -> None:
    for lease, expected_kinds in ((-1, []), (REPUBLISHED - 1, []), (REPUBLISHED + 1, ["missing"])):
        running = photo(State.RUNNING, lease_expire_time=ago(lease))
        assert kinds(found(photos=(running,))) == expected_kinds
    republished = photo(State.RUNNING, published=5, lease_expire_time=ago(NIGHT))
    assert found(photos=(republished,)) == []


@pytest.mark.parametrize("state", [state for state in State if state not in (State.QUEUED, State.RUNNING)])
def test_others_need_none(state: State) -> None:
    assert found(photos=(photo(state),)) == []


def test_past_the_deadline_settle_needs_none() -> None:
    assert found(photos=(photo(deadline=ago(1)),)) == []


def test_a_queue_that_has_just_been_started_is_given_its_time() -> None:
    assert found(photos=(photo(),), since=REPUBLISHED - 1) == []
    assert kinds(found(photos=(photo(),), since=REPUBLISHED + 1)) == ["missing"]


# -- messages without a photo


def test_a_message_for_nothing_is_unexpected_after_it_must_have_been_acknowledged() -> None:
    assert found(request(NEXT_PUSH - 1)) == []
    [(kind, line)] = found(request(NEXT_PUSH + 1, of="gone"))
    assert (kind, line) == ("unexpected", f"message m1 of {QUEUE}: there is no prediction 'gone'")
    assert found(request(NIGHT), since=NEXT_PUSH - 1) == []


@pytest.mark.parametrize("state", [state for state in State if state.terminal])
def test_a_message_for_what_ended_long_ago_is_unexpected(state: State) -> None:
    ended = (photo(state),)
    assert found(request(NEXT_PUSH - 1), photos=ended) == []
    assert found(request(NEXT_PUSH + 1), photos=ended, changed=NEXT_PUSH - 1) == []
    [(kind, line)] = found(request(NEXT_PUSH + 1), photos=ended, changed=NEXT_PUSH + 1)
    assert (kind, line) == ("unexpected", f"message m1 of {QUEUE}: p1 {state.value} ended long ago")
    assert found(request(NIGHT), photos=ended, since=NEXT_PUSH - 1) == []


def test_a_copy_may_wait_behind_work_but_not_for_longer_than_that_may_take() -> None:
    ended, busy = photo(State.SUCCEEDED), photo(id="p2", generation=8)
    before = request(NEXT_PUSH + 1, number="m2", of="p2")
    assert found(before, request(LONGEST - 1), photos=(ended, busy)) == []
    assert kinds(found(before, request(LONGEST + 1), photos=(ended, busy))) == ["unexpected"]
    elsewhere = replace(before, subscription="segment-stable-bulk")
    assert kinds(found(elsewhere, request(LONGEST - 1), photos=(ended, busy))) == ["unexpected"]


# -- messages that wait for too long


def test_a_message_that_waited_for_longer_than_all_before_it_may_take_is_stuck() -> None:
    assert found(request(LONGEST - 1), photos=(photo(),)) == []
    [(kind, line)] = found(request(LONGEST + 1), photos=(photo(),))
    assert kind == "stuck"
    assert line.startswith(f"message m1 of {QUEUE} for p1 QUEUED: waits since 2026-01-01T")


def test_photos_that_were_given_longer_deadlines_may_wait_longer() -> None:
    patient = photo(deadline=NOW + timedelta(hours=1), create_time=NOW - timedelta(hours=1))
    assert found(request(7200), photos=(patient,)) == []
    assert kinds(found(request(7200), photos=(replace(patient, lane=Lane.BULK),))) == ["stuck"]


def test_bulk_photos_may_wait_for_a_day() -> None:
    assert found(request(80_000, "segment-stable-bulk"), photos=(photo(lane=Lane.BULK),)) == []
    assert kinds(found(request(90_000, "segment-stable-bulk"), photos=(photo(lane=Lane.BULK),))) == ["stuck"]


@pytest.mark.parametrize(("subscription", "most"), [(DEAD, 70 + 300 + 10), ("settle-sweep", 380), ("unheard-of", 140)])
def test_dead_letters_and_ticks_wait_behind_nothing(subscription: str, most: float) -> None:
    assert found(request(most - 1, subscription), photos=(photo(),)) == []
    [(kind, line)] = found(request(most + 1, subscription), photos=(photo(),))
    assert kind == "stuck"
    assert "p1 QUEUED" in line
    tick = Waiting(subscription, "t1", {"schedule": "sweep"}, ago(most + 1))
    assert kinds(found(tick)) == ["stuck"]


def test_an_upload_that_nobody_accepts_is_stuck() -> None:
    assert found(notification(LONGEST - 1)) == []
    assert kinds(found(notification(LONGEST + 1))) == ["stuck"]


# -- what at-least-once delivery allows

AGES = st.floats(0, NEXT_PUSH - 1)
STATES = st.sampled_from(State)


@given(
    st.lists(st.tuples(STATES, AGES), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 5), AGES, st.sampled_from([QUEUE, DEAD, NOTIFIED])), max_size=12),
)
def test_whatever_is_young_is_legal(photos: list[tuple[State, float]], messages: list[tuple[int, float, str]]) -> None:
    """Copies, messages of ended photos or of none, photos between two messages: in any mixture."""
    rows = tuple(photo(state, age, id=f"p{number}") for number, (state, age) in enumerate(photos))
    waiting = [request(age, name, f"m{number}", f"p{of}") for number, (of, age, name) in enumerate(messages)]
    assert found(*waiting, photos=rows) == []


@given(st.lists(st.floats(0, LONGEST - 1), min_size=1, max_size=5), st.floats(0, NIGHT))
def test_any_number_of_copies_of_an_unfinished_photo_is_legal(ages: list[float], published: float) -> None:
    copies = [request(age, number=f"m{number}") for number, age in enumerate(ages)]
    assert found(*copies, photos=(photo(published=published),)) == []


# -- by numbers

CLOUD_GRACE = grace(CLOUD).total_seconds()
SLOW = CLOUD_GRACE + 600 + 600  # s: and ack deadline, and longest pause
EMPTY = {name: Figure(0, timedelta()) for name in expected(TABLE)}


def figured(changes: dict[str, Figure], *photos: Prediction, known: dict[str, Figure] = EMPTY) -> list[Finding]:
    history = History(photos, {})
    return list(judged(Figures(NOW, {**known, **changes}), history, Limits(CLOUD, TABLE, photos), TABLE))


def waits(seconds: float) -> Figure:
    return Figure(3, timedelta(seconds=seconds))


def test_a_photo_misses_its_message_only_where_nothing_waits_at_all() -> None:
    lost = photo(published=600 + CLOUD_GRACE + 1)
    assert kinds(figured({}, lost)) == ["missing"]
    assert figured({}, photo(published=600 + CLOUD_GRACE - 1)) == []
    for name in (QUEUE, DEAD, NOTIFIED, "settle-uploads-dead"):
        assert figured({name: waits(1)}, lost) == []
        assert figured({}, lost, known={one: figure for one, figure in EMPTY.items() if one != name}) == []
    for name in ("segment-stable-bulk", "settle-sweep", "somebody-elses"):
        assert kinds(figured({name: waits(1)}, lost)) == ["missing"]


@pytest.mark.parametrize(
    ("name", "most"),
    [(QUEUE, SLOW + 900), ("segment-stable-bulk", SLOW + 86_400), (DEAD, SLOW - 300), ("sweep-dead-parked", SLOW)],
)
def test_the_oldest_message_may_not_be_older_than_any_may(name: str, most: float) -> None:
    assert figured({name: waits(most - 1)}) == []
    [(kind, line)] = figured({name: waits(most + 1)})
    assert kind == "stuck"
    assert line.startswith(f"{name}: 3 messages, the oldest waits since 202")
    assert figured({name: Figure(0, timedelta(days=1))}) == []


def test_other_peoples_subscriptions_are_theirs() -> None:
    assert figured({"somebody-elses": waits(NIGHT)}) == []


def test_what_exists_on_google_cloud_is_what_terraform_makes() -> None:
    assert expected(TABLE) == {*TABLE.subscriptions, "sweep-dead-parked"}
