"""Thousands of schedules of the whole flow: whatever goes wrong in the storm, afterwards every invariant holds.

A failing schedule is played again with `MASKLINE_CHAOS_SEED=… pytest tests/chaos/test_simulation.py -k one`.
"""

from __future__ import annotations

import os
from collections import Counter
from itertools import count
from unittest import mock

import pytest

from shared.prediction import State
from tests.chaos import options
from tests.chaos.faults import Fault, nth
from tests.chaos.scenario import PHOTO, TIDY, play, problems
from tests.chaos.simulation import LEASE, Simulation, Weather, caught
from tests.chaos.virtual import Loop, run

FEW, MANY = 40, options.count("SCHEDULES", 3000)
ONCE = [Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.BEFORE, Fault.AFTER, Fault.REPEAT, Fault.FULL]


def check(seeds: range) -> Counter[str]:
    totals: Counter[str] = Counter()
    for seed in seeds:
        outcome = play(seed)
        assert not outcome.trouble, f"MASKLINE_CHAOS_SEED={seed}: {outcome.trouble}"
        totals += outcome.happened
        totals += Counter({fault.value: times for fault, times in outcome.injected.items() if fault is not Fault.NONE})
        totals["calls"] += outcome.calls
    return totals


def test_some_schedules() -> None:
    totals = check(range(FEW))
    assert totals["kill"] > FEW / 4
    assert totals["duplicate"] > FEW / 4


@pytest.mark.skipif("MASKLINE_CHAOS_SEED" not in os.environ, reason="plays MASKLINE_CHAOS_SEED again")
def test_one_schedule() -> None:
    check(range(options.seed(), options.seed() + 1))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_many_schedules() -> None:
    seed, _ = options.seeded("simulation")
    totals = check(range(seed, seed + MANY))
    options.keep("simulation", {"seed": seed, "schedules": MANY, "injected": dict(totals), "violations": 0})


def test_a_seed_is_a_schedule() -> None:
    assert play(7) == play(7)


LEFT_OUT = {
    "the fence": ("shared.delivery.holds", lambda prediction, fence: prediction.state is State.RUNNING),
    "a path for each claim": ("shared.ids.result_name", lambda name, *rest: f"predictions/{name}/0/0/mask.png"),
    "deleting orphans": ("shared.tidy.delete_orphans", lambda *rest: None),
    "looking for strays": ("shared.tidy.accept_strays", lambda *rest: None),
}


# One schedule in 70 needs the fence: most late commits lose by the version that they saw. This one did; others follow.
SHOWN = {"the fence": 101}


@pytest.mark.parametrize("part", LEFT_OUT)
def test_a_part_that_is_left_out_is_noticed(part: str) -> None:
    name, instead = LEFT_OUT[part]
    with mock.patch(name, instead):
        assert any(_troubled(seed) for seed in (SHOWN.get(part, 0), *range(5 * FEW)))


def _troubled(seed: int) -> bool:
    try:
        return bool(play(seed).trouble)
    except AssertionError:
        return True


@pytest.mark.parametrize("fault", ONCE, ids=lambda fault: fault.value)
def test_every_call_may_fail_once_or_be_the_last(fault: Fault) -> None:
    """The crash sweep (F2): the same two photos, and the fault at the first port call, then at the second, … until it
    no longer happens."""
    points = 0
    for number in count(1):
        fired, trouble = run(lambda loop, number=number: _two_photos(loop, fault, number))  # type: ignore[misc]
        if not fired:
            break
        points += fired
        assert not trouble, f"{fault.value} at call {number}: {trouble}"
    assert points > (15 if fault in (Fault.FULL, Fault.REPEAT) else 30)


async def _two_photos(loop: Loop, fault: Fault, number: int) -> tuple[bool, list[str]]:
    world = Simulation(loop, 1, Weather())
    world.choose = nth(number, fault)
    for name in "ab":
        world.upload(f"users/ana/{name}.png", PHOTO + name.encode())
    await world.until(lambda: loop.time() > 1 and world.at_rest(), 200)
    await world.until(lambda: False, TIDY)
    reached = world.called.total() >= number and number < 60  # later calls are sweeps that find nothing
    trouble = problems(world) + [str(error) for error in caught(world.tasks)]
    if world.states() != {"SUCCEEDED": 2}:
        trouble.append(f"ended as {dict(world.states())} after {LEASE} s of lease")
    return reached, trouble
