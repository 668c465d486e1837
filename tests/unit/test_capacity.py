"""The autoscaling arithmetic, and that pipeline.yaml and the settings agree with what was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import capacity, pipeline
from shared.capacity import Capacity, Times
from shared.settings import Settings

MEASURED = pipeline.load().capacity

CAPACITIES = st.builds(
    Capacity,
    images_per_s=st.floats(1, 2000),
    around=st.floats(0.01, 2),
    cold_start=st.floats(0.5, 120),
)


@pytest.mark.parametrize("profile", ["local", "gcp"])
def test_what_ships_agrees_with_what_was_measured(profile: str) -> None:
    settings = Settings.from_env({"MASKLINE_PROFILE": profile})
    table = pipeline.load().timings[profile]
    given = Times(table.work_budget, table.lease, table.ack_deadline)
    wrong = capacity.complaints(MEASURED[profile], settings.instance_capacity, settings.max_batch, given)
    assert list(wrong) == []


@given(CAPACITIES, st.integers(1, 250))
def test_the_times_keep_the_protocols_order(measured: Capacity, max_batch: int) -> None:
    inside = capacity.concurrency(max_batch)
    safe = capacity.times(measured, inside)
    assert capacity.stay(measured, inside) < safe.work_budget < safe.lease
    assert safe.ack_deadline >= max(capacity.ACK_RATIO * safe.lease, measured.cold_start + safe.lease)


@given(CAPACITIES, st.integers(1, 250))
def test_nobody_complains_of_what_the_arithmetic_says(measured: Capacity, max_batch: int) -> None:
    inside = capacity.needed_concurrency(measured, max_batch)
    assert list(capacity.complaints(measured, inside, max_batch, capacity.times(measured, inside))) == []


def test_each_contradiction_is_named_with_a_value_that_would_do() -> None:
    slow = Capacity(images_per_s=2, around=20, cold_start=100)
    told = list(capacity.complaints(slow, 48, 8, Times(24, 30, 60)))
    assert [line.split(":")[0] for line in told] == [
        "the device stands idle",
        "photos run out of time under load",
        "messages come twice at a cold start",
    ]
    assert "MASKLINE_CONCURRENCY 48 is below 56" in told[0]
    assert "MASKLINE_WORK_BUDGET_SECONDS 24 is below 72.0" in told[1]
    assert "MASKLINE_ACK_DEADLINE_SECONDS 60 is below 130.0" in told[2]


def test_instances_cover_the_peak_with_room_and_stop_at_the_quota() -> None:
    measured = MEASURED["gcp"]
    assert [capacity.instances(measured, peak, 8) for peak in (0, 100, 200, 10_000)] == [1, 1, 2, 8]


@pytest.mark.parametrize("images_per_s", range(1, 300))
def test_a_peak_that_instances_just_serve_takes_no_further_one(images_per_s: int) -> None:
    measured = Capacity(images_per_s, 0.1, 1)
    peaks = [images_per_s * 7 * count / 10 for count in (1, 2, 3)]  # as exact as Terraform counts
    assert [capacity.instances(measured, peak, 9) for peak in peaks] == [1, 2, 3]
    assert [capacity.instances(measured, peak + 0.001, 9) for peak in peaks] == [2, 3, 4]


@given(CAPACITIES, st.floats(1, 10_000))
def test_instances_are_as_many_as_serve_the_peak_and_no_more(measured: Capacity, photos: float) -> None:
    enough = capacity.instances(measured, photos, 1_000_000)
    assert capacity.peak(measured, enough) >= photos * (1 - 1e-9)
    assert enough == 1 or capacity.peak(measured, enough - 1) < photos * (1 + 1e-9)


def test_a_batch_grows_only_where_that_pays() -> None:
    on_a_cpu = {1: 0.010, 2: 0.0198, 4: 0.040, 8: 0.082}
    on_a_gpu = {1: 0.004, 8: 0.006, 32: 0.012, 64: 0.0235}
    assert (capacity.best_batch(on_a_cpu), capacity.best_batch(on_a_gpu)) == (1, 32)


def test_ledgers_correct_what_was_assumed() -> None:
    base = MEASURED["local"]
    assert capacity.observed(base, 48, []) == base
    ledgers = [{"decode": 3000.0, "forward": 1000.0, "queued": 9000.0}, {"coldStart": 4000.0, "decode": 5.0}]
    seen = capacity.observed(base, 48, ledgers)
    assert (seen.cold_start, seen.images_per_s, seen.around) == (4.0, 12.0, base.around)
