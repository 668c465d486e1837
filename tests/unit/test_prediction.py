"""The state machine and its document form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.prediction import FORWARD, Lane, Phase, Prediction, Reason, State, from_data, to_data

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TIMES = st.datetimes(timezones=st.just(UTC))


def prediction(state: State = State.QUEUED, **changes: object) -> Prediction:
    fields: dict[str, object] = {
        "id": "p" + "a" * 25,
        "owner_uid": "alice",
        "state": state,
        "phase": Phase.QUEUED,
        "bucket": "uploads",
        "object": "users/alice/cat.jpg",
        "deadline": NOW + timedelta(minutes=15),
        "expire_time": NOW + timedelta(days=30),
        "create_time": NOW,
    }
    return Prediction(**(fields | changes))  # type: ignore[arg-type]


@given(st.sampled_from(State), st.sampled_from(State))
def test_only_the_drawn_steps_are_possible(old: State, new: State) -> None:
    before = prediction(old)
    if new in FORWARD.get(old, frozenset()):
        assert before.moved(new, Phase.QUEUED).state is new
    else:
        with pytest.raises(ValueError, match="no step"):
            before.moved(new, Phase.QUEUED)


def test_terminal_states_have_no_way_out() -> None:
    ends = {State.SUCCEEDED, State.FAILED, State.REJECTED, State.CANCELLED, State.EXPIRED}
    assert {state for state in State if state.terminal} == ends


def test_every_state_reaches_an_end() -> None:
    assert all(any(step.terminal for step in steps) for steps in FORWARD.values())


@given(
    state=st.sampled_from(State),
    phase=st.sampled_from(Phase),
    lane=st.sampled_from(Lane),
    deadline=TIMES,
    lease=st.none() | TIMES,
    generation=st.integers(0, 2**63 - 1),
    outputs=st.lists(st.sampled_from(["rle", "polygons", "preview"]), unique=True),
)
def test_a_document_reads_back_as_it_was_written(
    state: State,
    phase: Phase,
    lane: Lane,
    deadline: datetime,
    lease: datetime | None,
    generation: int,
    outputs: list[str],
) -> None:
    before = prediction(
        state,
        phase=phase,
        lane=lane,
        deadline=deadline,
        lease_expire_time=lease,
        generation=generation,
        outputs=tuple(outputs),
    )
    assert from_data(to_data(before)) == before


def test_unknown_fields_of_a_newer_writer_are_ignored() -> None:
    assert from_data(to_data(prediction()) | {"fromTheFuture": 1}) == prediction()


def test_an_end_releases_the_lease_and_says_why() -> None:
    ended = prediction(State.RUNNING, lease_expire_time=NOW).failed(Reason.POISON, "set aside")
    assert (ended.state, ended.lease_expire_time) == (State.FAILED, None)
    assert ended.error == {"reason": "POISON", "message": "set aside"}
