"""Photos run first come, first served, in batches of one shape, within the limits, and nobody waits for nobody."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from inference_container.batching import Limits, Waiting, capacity, next_batch

SHAPES = [(224, 224), (192, 256), (256, 192), (64, 96)]
LIMITS = Limits(photos=4, pixels=4 * 224 * 224, wait=0.01)

lines = st.lists(
    st.builds(
        Waiting, st.sampled_from(SHAPES), st.floats(0, 10), st.integers(0, 9).map(lambda n: n == 0), st.integers(0, 50)
    ),
    max_size=20,
).map(lambda line: sorted(line, key=lambda one: one.since))
limits = st.builds(Limits, st.integers(1, 16), st.integers(1, 10**6), st.floats(0, 0.1), st.integers(0, 100))


def line(*shapes: tuple[int, int]) -> list[Waiting]:
    return [Waiting(shape, since=float(at) / 1000) for at, shape in enumerate(shapes)]


@given(lines, limits, st.floats(0, 20), st.integers(0, 3), st.integers(1, 4), st.integers(0, 3))
def test_a_batch_has_one_shape_the_oldest_photo_first_and_fits(
    waiting: list[Waiting], limits: Limits, now: float, coming: int, idle: int, running: int
) -> None:
    chosen = next_batch(waiting, limits, now, coming=coming, idle=idle, running=running).positions
    assert list(chosen) == sorted(set(chosen))
    if not chosen:
        return
    assert chosen[0] == 0
    batch = [waiting[at] for at in chosen]
    assert {one.shape for one in batch} == {waiting[0].shape}
    assert len(batch) <= limits.photos
    assert len(batch) == 1 or len(batch) * batch[0].shape[0] * batch[0].shape[1] <= limits.pixels
    assert len(batch) == 1 or sum(one.source for one in batch) <= limits.source


@given(lines, limits, st.floats(0, 20), st.integers(0, 3), st.integers(1, 4), st.integers(0, 3))
def test_within_a_shape_nobody_is_overtaken(
    waiting: list[Waiting], limits: Limits, now: float, coming: int, idle: int, running: int
) -> None:
    chosen = next_batch(waiting, limits, now, coming=coming, idle=idle, running=running).positions
    for at in chosen:
        same = [i for i, one in enumerate(waiting[:at]) if one.shape == waiting[at].shape and not one.exclusive]
        assert set(same) <= set(chosen)


@given(lines, limits, st.integers(0, 3))
def test_everybody_runs_in_the_end_and_never_waits_past_the_limit(
    waiting: list[Waiting], limits: Limits, coming: int
) -> None:
    now = 11.0  # later than everybody's wait
    while waiting:
        chosen = next_batch(waiting, limits, now, coming=coming).positions
        assert chosen
        waiting = [one for at, one in enumerate(waiting) if at not in chosen]


@given(lines, limits, st.integers(0, 3), st.integers(1, 4), st.integers(0, 3))
def test_a_photo_on_its_last_chance_shares_the_device_with_nobody(
    waiting: list[Waiting], limits: Limits, coming: int, idle: int, running: int
) -> None:
    chosen = next_batch(waiting, limits, 11.0, coming=coming, idle=idle, running=running).positions
    if any(waiting[at].exclusive for at in chosen):
        assert len(chosen) == 1
        assert running == 0


def test_an_incomplete_batch_waits_while_somebody_is_coming() -> None:
    choice = next_batch(line((64, 96)), LIMITS, now=0.001, coming=1)
    assert (choice.positions, choice.look_again) == ((), 0.01)


def test_a_lonely_photo_does_not_wait() -> None:
    assert next_batch(line((64, 96)), LIMITS, now=0.0, coming=0).positions == (0,)


def test_a_full_batch_does_not_wait() -> None:
    assert next_batch(line(*[(224, 224)] * 5), LIMITS, now=0.0, coming=3).positions == (0, 1, 2, 3)


def test_free_workers_share_what_waits() -> None:
    assert next_batch(line(*[(224, 224)] * 4), LIMITS, now=1.0, idle=2).positions == (0, 1)


def test_other_shapes_stay_in_line() -> None:
    assert next_batch(line((64, 96), (96, 64), (64, 96)), LIMITS, now=1.0).positions == (0, 2)


def test_a_photo_larger_than_the_limit_runs_alone() -> None:
    assert capacity((4096, 4096), replace(LIMITS, pixels=1)) == 1


def test_small_photos_do_not_wait_for_the_decoding_of_a_giant() -> None:
    small, giant = Waiting((64, 96), 0.0, source=1_000_000), Waiting((64, 96), 0.0, source=50_000_000)
    assert next_batch([small, small, giant, small], LIMITS, now=1.0).positions == (0, 1)
    assert next_batch([giant, small], LIMITS, now=1.0).positions == (0,)
