"""Those that gather share the work, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from inference_container.admission import Admission
from inference_container.server import pause_of
from shared.errors import Conflict, Retryable
from shared.gathering import Gathering
from shared.outcomes import together


class Block:
    """What surrounds a group: notes what was made inside, and may fail when it ends."""

    def __init__(self, failing: bool = False) -> None:
        self.groups: list[list[Any]] = []
        self.threads: set[int] = set()
        self._failing = failing

    def gathering(self, pause: Callable[[], float] = lambda: 0.0) -> Gathering[Any, Any]:
        return Gathering(lambda calls: together(self.around, lambda call: call(), calls), pause)

    @contextmanager
    def around(self) -> Iterator[None]:
        self.groups.append([])
        self.threads.add(threading.get_ident())
        yield
        if self._failing:
            raise Retryable("the disk is busy")

    def make(self, what: Any) -> Any:
        self.groups[-1].append(what)
        if isinstance(what, threading.Event):
            return what.wait(20)
        if isinstance(what, Exception):
            raise what
        return what


def gathered(block: Block, *calls: Any) -> list[Any]:
    """All asked for at once."""

    async def run() -> list[Any]:
        gathering = block.gathering()
        return await asyncio.gather(*(gathering.run(partial(block.make, one)) for one in calls), return_exceptions=True)

    return asyncio.run(run())


def test_those_that_come_together_share_a_block_on_one_thread() -> None:
    block = Block()
    assert gathered(block, 1, 2, 3) == [1, 2, 3]
    assert block.groups == [[1, 2, 3]]
    assert block.threads.isdisjoint({threading.get_ident()})


def test_an_error_is_its_callers_alone() -> None:
    lost = Conflict("mine")
    assert gathered(Block(), 1, lost, 3) == [1, lost, 3]


def test_a_block_that_fails_fails_all_of_its_calls() -> None:
    answers = gathered(Block(failing=True), 1, Conflict("mine"), 3)
    assert [type(answer) for answer in answers] == [Retryable] * 3


def test_work_that_fails_as_a_whole_is_everybodys_error() -> None:
    def work(items: Sequence[int]) -> Sequence[int]:
        raise Retryable("nothing can be done")

    async def run() -> list[Any]:
        gathering = Gathering(work)
        return [*await asyncio.gather(gathering.run(1), gathering.run(2), return_exceptions=True)]

    assert [type(answer) for answer in asyncio.run(run())] == [Retryable] * 2


def test_what_comes_meanwhile_is_the_next_group() -> None:
    block, go = Block(), threading.Event()

    async def run() -> list[Any]:
        gathering = block.gathering()
        first = asyncio.create_task(gathering.run(partial(block.make, go)))
        while not block.groups:
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(gathering.run(partial(block.make, number))) for number in range(3)]
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(first, *rest)

    assert asyncio.run(run()) == [True, 0, 1, 2]
    assert block.groups == [[go], [0, 1, 2]]


def test_who_is_cancelled_in_time_is_not_made() -> None:
    block = Block()

    async def run() -> list[Any]:
        gathering = block.gathering()
        tasks = [asyncio.create_task(gathering.run(partial(block.make, number))) for number in range(3)]
        await asyncio.sleep(0)  # all have asked
        tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(run())
    assert (answers[0], answers[2]) == (0, 2)
    assert isinstance(answers[1], asyncio.CancelledError)
    assert block.groups == [[0, 2]]


def test_a_gathering_works_again_after_it_was_empty() -> None:
    block = Block()

    async def run() -> None:
        gathering = block.gathering(lambda: 0.001)
        for number in range(3):
            assert await gathering.run(partial(block.make, number)) == number

    asyncio.run(run())
    assert block.groups == [[0], [1], [2]]


@pytest.mark.parametrize(("inside", "pause"), [(1, 0.0), (2, 0.00125), (9, 0.01), (1000, 0.1)])
def test_the_pause_grows_with_the_work_that_waits(inside: int, pause: float) -> None:
    admission = Admission(2000, 60)
    admission.inside, admission.seconds_per_photo = inside, 0.01
    assert pause_of(admission) == pytest.approx(pause)


@pytest.mark.parametrize("work", [lambda items: [1], lambda items: [StopIteration()] * 2])
def test_work_that_breaks_off_leaves_nobody_waiting(work: Callable[[Sequence[Any]], Any]) -> None:
    async def run() -> list[Any]:
        gathering: Gathering[int, int] = Gathering(work)
        first = asyncio.gather(gathering.run(1), gathering.run(2), return_exceptions=True)
        outcomes = await asyncio.wait_for(first, 20)
        return [*outcomes, *await asyncio.wait_for(asyncio.gather(gathering.run(3), return_exceptions=True), 20)]

    outcomes = asyncio.run(run())
    assert len(outcomes) == 3
    assert isinstance(outcomes[1], RuntimeError)
