"""The threads in front of the workers: every photo gets its own answer, whatever happens to its batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from inference_container.batcher import Batcher, Ran
from inference_container.batching import Limits
from inference_container.faults import NotFinite
from inference_container.segmented import Answer, Encoded, Job, Segmented
from shared.errors import Retryable

LIMITS = Limits(photos=8, pixels=10**9, wait=0.01)
SHAPE = (2, 2)
RAISES, NAN = 255, 254


class Recorder:
    """A worker that answers with what the photo's file says, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.waiting = 0  # batches that reached it
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, jobs: Sequence[Job]) -> list[Answer]:
        self.waiting += 1
        self.gate.wait(30)
        values = [job.data[0] for job in jobs]
        self.batches.append(values)
        if values == [RAISES]:
            raise ZeroDivisionError
        return [NotFinite() if value == NAN else answer(value) for value in values]


def answer(value: int) -> Segmented:
    return Segmented("image/png", value, 1, Encoded(b"", "", []))


@pytest.fixture(name="worker")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(name="batcher")
def running(worker: Recorder) -> Iterator[Batcher]:
    batcher = Batcher(worker, LIMITS, workers=1)
    yield batcher
    worker.gate.set()
    batcher.close()


def job(value: int) -> Job:
    return Job(bytes([value]))


def segment(batcher: Batcher, worker: Recorder, *values: int, exclusive: int = -1) -> list[Ran | BaseException]:
    """All `values` stand in line before the worker takes the first."""

    async def together() -> list[Ran | BaseException]:
        worker.gate.clear()
        with batcher.coming():
            tasks = [asyncio.create_task(batcher.submit(job(one), SHAPE, exclusive=one == exclusive)) for one in values]
            await asyncio.sleep(0)
        worker.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(together())


def answers(results: list[Ran | BaseException]) -> list[int]:
    return [one.segmented.width for one in results if isinstance(one, Ran)]


def test_each_photo_gets_its_own_answer(batcher: Batcher, worker: Recorder) -> None:
    assert answers(segment(batcher, worker, *range(20))) == list(range(20))
    assert max(len(batch) for batch in worker.batches) > 1


def test_what_is_wrong_with_a_photo_harms_only_that_photo(batcher: Batcher, worker: Recorder) -> None:
    results = segment(batcher, worker, 1, NAN, 3)
    assert isinstance(results[1], NotFinite)
    assert answers(results) == [1, 3]


def test_a_worker_that_raises_is_a_passing_fault_and_lives_on(batcher: Batcher, worker: Recorder) -> None:
    assert isinstance(segment(batcher, worker, RAISES, exclusive=RAISES)[0], Retryable)
    assert answers(segment(batcher, worker, 7)) == [7]


def test_a_photo_on_its_last_chance_runs_alone(batcher: Batcher, worker: Recorder) -> None:
    segment(batcher, worker, 1, 2, 3, 4, exclusive=3)
    assert [3] in worker.batches


def test_who_gives_up_leaves_the_line(batcher: Batcher, worker: Recorder) -> None:
    async def give_up() -> None:
        worker.gate.clear()
        first = asyncio.create_task(batcher.submit(job(0), SHAPE))
        while worker.waiting == 0:
            await asyncio.sleep(0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await batcher.submit(job(9), SHAPE)
        worker.gate.set()
        await first

    asyncio.run(give_up())
    assert [9] not in worker.batches


def test_a_batch_waits_for_photos_that_are_coming_and_goes_when_they_do_not(batcher: Batcher, worker: Recorder) -> None:
    async def announced() -> list[Ran]:
        with batcher.coming():
            first = asyncio.create_task(batcher.submit(job(1), SHAPE))
            await asyncio.sleep(0)
            second = asyncio.create_task(batcher.submit(job(2), SHAPE))
            await asyncio.sleep(0)
        return [await first, await second, await batcher.submit(job(3), SHAPE)]

    assert len(asyncio.run(announced())) == 3
    assert worker.batches == [[1, 2], [3]]


def test_no_worker_rests_while_there_is_work_for_it() -> None:
    together = threading.Barrier(2)

    def run(jobs: Sequence[Job]) -> list[Answer]:
        together.wait(30)  # broken unless the other worker comes, too
        return [answer(0) for _ in jobs]

    async def two(batcher: Batcher) -> list[Ran]:
        with batcher.coming():
            first = asyncio.create_task(batcher.submit(job(0), SHAPE))
            await asyncio.sleep(0.05)  # one worker now waits for company
        return [await batcher.submit(job(0), SHAPE), await first]

    batcher = Batcher(run, Limits(photos=8, pixels=10**9, wait=100.0), workers=2)
    try:
        assert len(asyncio.run(two(batcher))) == 2
    finally:
        batcher.close()
