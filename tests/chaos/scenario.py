"""One seed → one stormy afternoon of the simulation, then calm; and what must hold once everything has come to rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from shared import ids, pipeline
from shared.api.removal import remove
from shared.audit import audit, history_of
from shared.backlog import Limits, judged
from shared.prediction import Prediction, State, from_data
from tests.chaos.faults import Fault
from tests.chaos.simulation import BAD, LEASE, Simulation, Weather, caught
from tests.chaos.virtual import Loop, run
from tests.domain import photo

PHOTO = photo()
STORM = 24.0  # s
CALM = 1000.0  # s after which everything has ended: more than the deadline
TIDY = 30.0  # s more, in which what nobody points to is deleted
LOOK = 7.0  # s between two looks at the messages
Act = Callable[[Simulation], None]


@dataclass
class Outcome:
    """Of one schedule."""

    seed: int
    states: Counter[str]
    happened: Counter[str]
    injected: Counter[Fault]
    calls: int
    trouble: list[str] = field(default_factory=list)


def play(seed: int, weather: Weather | None = None, acts: int = 6) -> Outcome:
    """Everything is drawn from the seed: photos, weather, and what happens to processes."""
    return run(lambda loop: _play(loop, seed, weather, acts))


async def _play(loop: Loop, seed: int, weather: Weather | None, acts: int) -> Outcome:
    random = Random(seed)
    world = Simulation(loop, random.getrandbits(32), weather or drawn_weather(random))
    photos = random.randint(1, 4)
    world.spawn(_people(world, random, photos))
    seen: list[str] = []
    if not world.weather.skew:  # settle publishes again by its own clock
        world.spawn(_looks(world, seen))
    for moment in sorted(random.uniform(0, STORM) for _ in range(random.randint(0, acts))):
        await asyncio.sleep(max(0.0, moment - loop.time()))
        random.choice(ACTS)(world)
    await asyncio.sleep(max(0.0, STORM - loop.time()))
    skew = world.weather.skew
    world.calm()
    rested = await world.until(lambda: len(world.uploads) >= photos and world.at_rest(), CALM)
    await asyncio.sleep(TIDY + skew)
    trouble = seen if rested else [*seen, f"not at rest: {dict(world.states())}"]
    trouble += problems(world) + [f"{type(error).__name__}: {error}" for error in caught(world.tasks)]
    return Outcome(seed, world.states(), world.happened, world.injected, world.called.total(), trouble)


async def _looks(world: Simulation, seen: list[str]) -> None:
    """Whatever the storm does, somebody repairs it in time: the audit never takes a message for lost or left over."""
    while True:
        await asyncio.sleep(LOOK)
        history, table = history_of(world.runtime), pipeline.load()
        limits = Limits(world.settings, table, history.predictions)
        seen += [
            f"at {world.loop.time():.0f} s {line}" for _, line in judged(world.broker.look(), history, limits, table)
        ]


def drawn_weather(random: Random) -> Weather:
    """Each fault is there or not; if it is, at up to a tenth of all calls."""
    faults = [fault for fault in Fault if fault is not Fault.NONE]
    chosen = [fault for fault in faults if random.random() < 0.5]
    return Weather(
        rates={fault: random.choice([0.01, 0.03, 0.1]) * (0.2 if "kill" in fault.value else 1) for fault in chosen},
        duplicate=random.choice([0.0, 0.1, 0.5]),
        reorder=random.choice([0.0, 0.5, 10.0]),
        lost_events=random.choice([0.0, 0.0, 0.15]),
        skew=random.choice([0.0, 0.0, 300.0]),
    )


async def _people(world: Simulation, random: Random, photos: int) -> None:
    """Photos over the first half of the storm; some names are written twice, some predictions cancelled or deleted."""
    for number in range(photos):
        await asyncio.sleep(random.uniform(0, STORM / 2 / photos))
        name = f"users/ana/{number if random.random() < 0.8 else 0}.png"
        data = PHOTO + str(number).encode() + (BAD if random.random() < 0.1 else b"")
        event = world.upload(name, data)
        if random.random() < 0.15:
            world.spawn(_change_of_mind(world, random, ids.prediction_id_of("uploads", name, event.generation)))


async def _change_of_mind(world: Simulation, random: Random, name: str) -> None:
    await asyncio.sleep(random.uniform(0, STORM / 2))
    if random.random() < 0.5:
        remove(world.runtime, name)
    else:
        world.runtime.store.update(name, lambda one, _: None if one.state.terminal else one.ended(State.CANCELLED))


# -- what happens to processes


def _kill(world: Simulation) -> None:
    if processes := [*world.containers, *world.functions.values()]:
        world.random.choice(processes).kill()


def _terminate(world: Simulation) -> None:
    if world.containers:
        world.spawn(world.random.choice(world.containers).terminate())


def _pause(world: Simulation) -> None:
    """SIGSTOP for two leases, then SIGCONT."""
    if world.containers:
        world.happened["pause"] += 1
        world.random.choice(world.containers).paused_until = world.loop.time() + 2 * LEASE


def _cut_off(world: Simulation) -> None:
    """A partition: one process reaches nothing for two leases."""
    if world.containers:
        world.happened["partition"] += 1
        world.random.choice(world.containers).cut_off_until = world.loop.time() + 2 * LEASE


def _outage(world: Simulation) -> None:
    """Nobody reaches any store for 30 s."""
    world.happened["outage"] += 1
    for process in [*world.containers, *world.functions.values()]:
        process.cut_off_until = world.loop.time() + 30


ACTS: list[Act] = [
    *([_kill] * 4),
    _terminate,
    _pause,
    _cut_off,
    _outage,
    lambda world: world.broker.restart(),
    lambda world: world.broker.lose(),
]


# -- what must hold


def problems(world: Simulation) -> list[str]:
    """I1 to I5, I7 and I13 over what is stored, and the audit's four lists over that and the queue."""
    predictions = [from_data(row.data) for path, row in world.documents.rows.items() if path.startswith("predictions/")]
    found = [f"{path} was committed {times} times" for path, times in world.commits.items() if times > 1]
    for one in predictions:
        found += _wrong(world, one)
    pointed = {one.result["object"] for one in predictions if one.result}
    found += [f"{info.name} belongs to nobody" for info in world.objects.list("results") if info.name not in pointed]
    report = audit(world.runtime, world.loop.now, world.broker.look())
    if not report.clean:
        found.append(str(report))
    return found


def _wrong(world: Simulation, one: Prediction) -> list[str]:
    if one.deleted or one.state is State.CANCELLED:
        return []
    data = world.uploads[one.generation][1]
    if one.state is State.SUCCEEDED and BAD not in data:
        mask = world.objects.get("results", one.result["object"], one.result["generation"]).decode()
        right = mask.split()[0] == one.model["version"] and mask.split()[1] == one.input["sha256"]
        return [] if right else [f"{one.id} says {one.model['version']}, its mask {mask}"]
    overwritten = any(
        info.name == one.object and info.generation > one.generation for info, _ in world.uploads.values()
    )
    expected = one.state is State.REJECTED if BAD in data else overwritten and one.state is State.FAILED
    if expected or (overwritten and one.error.get("reason") == "SOURCE_MISSING"):
        return []
    return [f"{one.id} ended {one.state.value} {dict(one.error)}"]
