"""Faults F3 to F31 that need no process of their own, each with its target, in the simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from shared.accept import requested
from shared.audit import audit
from shared.envelope import Push
from shared.ids import prediction_id_of
from shared.prediction import COLLECTION, Prediction, State, from_data
from tests.chaos.faults import Fault
from tests.chaos.scenario import PHOTO, TIDY, play, problems
from tests.chaos.simulation import LEASE, POISON, Simulation, Weather
from tests.chaos.virtual import Loop, run

T = TypeVar("T")
SEEDS = range(5)
Steps = Callable[[Simulation], Coroutine[Any, Any, T]]


def simulate(steps: Steps[T], seed: int = 1, weather: Weather | None = None, **settings: Any) -> T:
    async def main(loop: Loop) -> T:
        return await steps(Simulation(loop, seed, weather or Weather(), **settings))

    return run(main)


def uploaded(world: Simulation, photos: int = 1, ending: bytes = b"") -> None:
    for number in range(photos):
        world.upload(f"users/ana/{number}.png", PHOTO + str(number).encode() + ending)


def predictions(world: Simulation) -> list[Prediction]:
    return [from_data(row.data) for path, row in world.documents.rows.items() if path.startswith(f"{COLLECTION}/")]


async def checked(world: Simulation, seconds: float = 1000) -> None:
    """Everything ends, and then everything is right."""
    assert await world.until(world.at_rest, seconds), world.states()
    await asyncio.sleep(TIDY)
    assert problems(world) == []


@pytest.mark.parametrize("call", ["objects.put", "documents.replace", "documents.get", "objects.get"])
@pytest.mark.parametrize("fault", [Fault.KILL_BEFORE, Fault.KILL_AFTER], ids=lambda fault: fault.value)
def test_f3_a_kill_beside_any_step_costs_one_lease(call: str, fault: Fault) -> None:
    """Target: done within lease + 5 s of the kill, in `local`; the orphan goes; one commit."""

    async def steps(world: Simulation) -> float:
        uploaded(world)
        killed: list[float] = []

        def choose(name: str) -> Fault:
            if name != call or killed or not world.containers:
                return Fault.NONE
            killed.append(world.loop.time())
            return fault

        world.choose = choose
        world.cold_start = (0.5, 0.5)
        await world.until(world.at_rest, 60)
        took = world.loop.time() - killed[0]
        await checked(world)
        return took

    assert simulate(steps) <= LEASE + 5


@pytest.mark.parametrize("seed", SEEDS)
def test_f4_every_tenth_answer_may_get_lost(seed: int) -> None:
    assert play(seed, Weather({Fault.AFTER: 0.1}), acts=0).trouble == []


@pytest.mark.parametrize("copies", [2, 10, 50])
@pytest.mark.parametrize("same_id", [True, False])
def test_f5_many_deliveries_at_once_are_one_run_and_one_commit(copies: int, same_id: bool) -> None:
    async def steps(world: Simulation) -> None:
        uploaded(world)
        await world.until(lambda: world.states()["QUEUED"] == 1, 10)
        route = next(route for route in world.broker.routes if route.endpoint == "http://segment")
        data, attributes = _message(predictions(world)[0])
        pushes = [Push(data, attributes, "1" if same_id else str(number), route.name, 1) for number in range(copies)]
        answers = await asyncio.gather(*(world.deliver(route, push) for push in pushes))
        assert {status for status, _ in answers} <= {204, 429}
        assert all(0 < wait <= LEASE for status, wait in answers if status == 429)
        await checked(world)
        assert (list(world.runs.values()), list(world.commits.values())) == ([1], [1])

    simulate(steps)


def _message(prediction: Prediction) -> tuple[bytes, dict[str, str]]:
    return requested(prediction).to_message()


def test_f6_the_newest_generation_wins_and_a_missing_object_ends() -> None:
    """Generation 2 is heard of before 1; 1 and another photo are gone by then: SOURCE_MISSING in 60 s."""

    async def steps(world: Simulation) -> None:
        first, second = (world.upload("users/ana/a.png", PHOTO + text) for text in (b"1", b"2"))
        gone = world.upload("users/ana/gone.png", PHOTO)
        world.objects.delete("uploads", "users/ana/gone.png")
        assert await world.until(lambda: len(predictions(world)) == 3 and world.at_rest(), 60)
        found = {one.id: one for one in predictions(world)}
        ended = [found[prediction_id_of("uploads", one.object, one.generation)] for one in (first, second, gone)]
        assert [one.state for one in ended] == [State.FAILED, State.SUCCEEDED, State.FAILED]
        assert {one.error["reason"] for one in ended if one.error} == {"SOURCE_MISSING"}
        assert audit(world.runtime, world.loop.now).clean

    simulate(steps, weather=Weather(reorder=5.0))


@pytest.mark.parametrize("seed", SEEDS)
def test_f7_a_copy_that_comes_while_the_first_works_never_commits_too(seed: int) -> None:
    async def steps(world: Simulation) -> None:
        world.work = (2.0, 3.0)  # near the budget of 3.2 s
        uploaded(world, 3)
        await checked(world)
        assert set(world.commits.values()) == {1}

    simulate(steps, seed, Weather(duplicate=1.0))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("how", ["paused_until", "cut_off_until"])
def test_f8_f29_who_sleeps_or_is_cut_off_for_two_leases_is_fenced(seed: int, how: str) -> None:
    """SIGSTOP and partition: at most one commit, and the mask is that of the recorded model."""

    async def steps(world: Simulation) -> None:
        uploaded(world, 3)
        await world.until(lambda: bool(world.states()["RUNNING"]), 30)
        for container in world.containers:
            setattr(container, how, world.loop.time() + 2 * LEASE)
        await checked(world)
        assert set(world.commits.values()) == {1}

    simulate(steps, seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("killers", [1, 2, 3])
def test_f9_a_photo_that_kills_its_worker_is_set_aside_and_takes_nobody_with_it(seed: int, killers: int) -> None:
    """Target: POISON after exactly three claims, at most 3 N restarts, every neighbour SUCCEEDED."""

    async def steps(world: Simulation) -> None:
        for number in range(12):
            ending = POISON if number < killers else b""
            world.upload(f"users/ana/{number}.png", PHOTO + str(number).encode() + ending)
        assert await world.until(world.at_rest, 900)
        ended = {one.object: one for one in predictions(world)}
        poison = [ended[f"users/ana/{number}.png"] for number in range(killers)]
        assert [(one.state, one.error["reason"], one.claims) for one in poison] == [
            (State.FAILED, "POISON", 3)
        ] * killers
        assert world.states() == {"FAILED": killers, "SUCCEEDED": 12 - killers}
        assert world.happened["kill"] <= 3 * killers

    simulate(steps, seed, containers=1, max_claims=3)


def test_f11_refusals_dead_letter_nothing() -> None:
    """One place for 60 photos: minutes of 429, and no photo is dead-lettered or charged for it."""

    async def steps(world: Simulation) -> None:
        world.work = (2.0, 2.0)
        uploaded(world, 60)
        await checked(world)
        assert world.states() == {"SUCCEEDED": 60}
        assert not world.broker.dead_lettered
        assert {one.claims for one in predictions(world)} == {1}

    simulate(steps, containers=1, concurrency=1)


@pytest.mark.parametrize("seed", SEEDS)
def test_f13_contention_and_a_store_that_is_down_for_30_s_fail_no_photo(seed: int) -> None:
    async def steps(world: Simulation) -> None:
        def choose(name: str) -> Fault:
            if name.startswith("documents.") and 2 < world.loop.time() < 32:
                return Fault.BEFORE
            return Fault.LOST_RACE if world.random.random() < 0.5 else Fault.NONE

        world.choose = choose
        uploaded(world, 2)
        await asyncio.sleep(3)
        world.upload("users/ana/later.png", PHOTO)
        assert await world.until(world.at_rest, 200)
        world.calm()
        await checked(world)
        assert world.states() == {"SUCCEEDED": 3}

    simulate(steps, seed)


@pytest.mark.parametrize("photos", [200, pytest.param(2000, marks=[pytest.mark.chaos, pytest.mark.timeout(900)])])
def test_f19_a_herd_meets_no_instance(photos: int) -> None:
    """20 s of model load. Target: 0 lost, 0 dead-lettered, drained in 1.3 × (work / capacity) + load."""

    async def steps(world: Simulation) -> None:
        world.work, world.cold_start = (0.5, 0.5), (20.0, 20.0)
        uploaded(world, photos)
        assert await world.until(world.at_rest, 900)
        took = world.loop.time()
        assert world.states() == {"SUCCEEDED": photos}
        assert not world.broker.dead_lettered
        assert len(world.containers) == 2
        capacity = 2 * world.settings.instance_capacity / (0.5 + 0.05)  # photos/s; each takes a few calls, too
        assert took <= 1.3 * (photos / capacity) + 20 + 5  # the windows grow from 4 pushes

    simulate(steps, lease_seconds=30, ack_deadline_seconds=60)


@pytest.mark.parametrize("seed", SEEDS)
def test_f23_wrong_clocks_steal_no_lease(seed: int) -> None:
    """Functions and containers are up to five minutes wrong, and settle's clock jumps back by an hour."""

    async def steps(world: Simulation) -> None:
        uploaded(world, 3)
        await world.until(lambda: bool(world.states()["RUNNING"]), 30)
        for process in [*world.containers, *(one for name, one in world.functions.items() if name == "settle")]:
            process.skew -= 3600
        assert await world.until(world.at_rest, 100)
        assert set(world.commits.values()) == {1}
        assert {one.claims for one in predictions(world)} == {1}

    simulate(steps, seed, Weather(skew=300.0))


def test_f31_lost_events_are_found_in_five_minutes() -> None:
    async def steps(world: Simulation) -> None:
        uploaded(world, 50)
        assert world.happened["event lost"] > 2
        await checked(world, 300)
        assert world.states() == {"SUCCEEDED": 50}

    simulate(steps, weather=Weather(lost_events=1 / 7))
