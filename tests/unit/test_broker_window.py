"""How many pushes may be in flight: slow start, growth, cuts, and patience with an endpoint that is down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from local.broker.window import FIRST, FIRST_PAUSE, LONGEST_PAUSE, Window


def grown(most: int, successes: int) -> Window:
    window = Window(most)
    for _ in range(successes):
        window.succeeded()
    return window


def test_it_starts_small_and_doubles_with_every_round_of_successes() -> None:
    window = Window(1000)
    assert window.room(0, 0.0) == FIRST
    for expected in (8, 16, 32):
        for _ in range(window.room(0, 0.0)):
            window.succeeded()
        assert window.room(0, 0.0) == expected


def test_it_never_grows_beyond_what_the_subscription_allows() -> None:
    assert grown(10, 1000).room(0, 0.0) == 10
    assert Window(1).room(0, 0.0) == 1


def test_what_is_out_takes_room() -> None:
    window = grown(100, 50)
    assert window.room(50, 0.0) == 4
    assert window.room(60, 0.0) == 0


def test_a_refusal_cuts_a_little_and_a_failure_cuts_in_half() -> None:
    busy, broken = grown(1000, 96), grown(1000, 96)
    busy.failed(0, 0.0, busy=True)
    broken.failed(0, 0.0, busy=False)
    assert (busy.room(0, 0.0), broken.room(0, 0.0)) == (80, 50)


def test_one_bad_moment_cuts_once() -> None:
    window = grown(1000, 96)
    stamp = window.cuts
    for _ in range(20):
        window.failed(stamp, 0.0, busy=False)
    assert window.room(0, 0.0) == 50


def test_after_a_cut_it_grows_by_an_eighth_per_round() -> None:
    window = grown(1000, 96)
    window.failed(0, 0.0, busy=False)
    for _ in range(48):
        window.succeeded()
    assert window.room(0, 0.0) == 56


def test_a_small_window_grows_by_one_per_round() -> None:
    window = grown(1000, 4)
    window.failed(0, 0.0, busy=False)
    size = window.room(0, 0.0)
    for _ in range(size + 1):
        window.succeeded()
    assert window.room(0, 0.0) == size + 1


def test_an_endpoint_that_is_down_is_only_probed() -> None:
    window = Window(100)
    pauses = []
    for _ in range(12):
        window.failed(window.cuts, 0.0, busy=False)
        pauses.append(window.paused_until)
    assert window.size == 1
    assert pauses[-1] == LONGEST_PAUSE
    assert next(pause for pause in pauses if pause) == FIRST_PAUSE
    assert window.room(0, LONGEST_PAUSE - 0.01) == 0
    assert window.room(0, LONGEST_PAUSE) == 1


def test_the_first_success_after_an_outage_ends_the_pause_and_starts_slowly_again() -> None:
    window = Window(100)
    for _ in range(12):
        window.failed(window.cuts, 0.0, busy=False)
    for expected in (2, 4, 8):
        for _ in range(window.room(0, 0.0) or 1):
            window.succeeded()
        assert window.room(0, 0.0) == expected


@given(st.integers(1, 50), st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), max_size=100))
def test_it_always_leaves_room_for_one_and_never_for_too_many(most: int, answers: list[tuple[bool, bool, int]]) -> None:
    window = Window(most)
    for number, (good, busy, age) in enumerate(answers):
        if good:
            window.succeeded()
        else:
            window.failed(window.cuts - age, float(number), busy)
        assert 1 <= window.size <= most
        assert 1 <= window.room(0, float("inf")) <= most
        assert window.paused_until <= number + LONGEST_PAUSE
