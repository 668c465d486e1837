"""The threads in front of the device: every photo gets its own answer, whatever happens to its batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from inference_container.batcher import Batcher, ClassMap, Pixels, Ran
from inference_container.batching import Limits
from inference_container.faults import NotFinite, OutOfMemory
from shared.errors import Retryable

LIMITS = Limits(photos=8, pixels=10**9, wait=0.01)


class Recorder:
    """A device that answers each photo's first value, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.fits = 100
        self.waiting = 0  # batches that reached the device
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, photos: Sequence[Pixels]) -> list[ClassMap | None]:
        self.waiting += 1
        self.gate.wait(30)
        if len(photos) > self.fits:
            raise OutOfMemory("too many")
        values = [int(photo[0, 0, 0]) for photo in photos]
        self.batches.append(values)
        if 255 in values and len(values) == 1:
            raise ZeroDivisionError
        return [None if value == 254 else np.full((1, 1), value, np.uint8) for value in values]


@pytest.fixture(name="device")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(name="batcher")
def running(device: Recorder) -> Iterator[Batcher]:
    batcher = Batcher(device, LIMITS, lanes=1)
    yield batcher
    device.gate.set()
    batcher.close()


def segment(batcher: Batcher, device: Recorder, *values: int, exclusive: int = -1) -> list[Ran | BaseException]:
    """All `values` stand in line before the device takes the first."""

    async def together() -> list[Ran | BaseException]:
        device.gate.clear()
        for _ in values:
            batcher.announce()
        photos = [np.full((2, 2, 3), value, np.uint8) for value in values]
        tasks = [
            asyncio.create_task(batcher.submit(one, value == exclusive))
            for one, value in zip(photos, values, strict=True)
        ]
        await asyncio.sleep(0)
        device.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(together())


def answers(results: list[Ran | BaseException]) -> list[int]:
    return [int(one.classes[0, 0]) for one in results if isinstance(one, Ran)]


def test_each_photo_gets_its_own_answer(batcher: Batcher, device: Recorder) -> None:
    assert answers(segment(batcher, device, *range(20))) == list(range(20))
    assert max(len(batch) for batch in device.batches) > 1


def test_a_batch_that_does_not_fit_is_halved_and_never_grows_so_large_again(batcher: Batcher, device: Recorder) -> None:
    device.fits = 2
    assert answers(segment(batcher, device, *range(16))) == list(range(16))
    assert max(len(batch) for batch in device.batches) == 2
    assert batcher.limits.pixels == 2 * 2 * 2


def test_a_photo_that_does_not_fit_alone_says_so(batcher: Batcher, device: Recorder) -> None:
    device.fits = 0
    assert isinstance(segment(batcher, device, 1)[0], OutOfMemory)


def test_an_answer_that_is_not_finite_harms_only_its_photo(batcher: Batcher, device: Recorder) -> None:
    results = segment(batcher, device, 1, 254, 3)
    assert isinstance(results[1], NotFinite)
    assert answers(results) == [1, 3]


def test_a_device_that_raises_is_a_passing_fault_and_the_lane_lives_on(batcher: Batcher, device: Recorder) -> None:
    assert isinstance(segment(batcher, device, 255, exclusive=255)[0], Retryable)
    assert answers(segment(batcher, device, 7)) == [7]


def test_a_photo_on_its_last_chance_runs_alone(batcher: Batcher, device: Recorder) -> None:
    segment(batcher, device, 1, 2, 3, 4, exclusive=3)
    assert [3] in device.batches


def test_who_gives_up_leaves_the_line(batcher: Batcher, device: Recorder) -> None:
    async def give_up() -> None:
        device.gate.clear()
        first = asyncio.create_task(batcher.submit(np.zeros((2, 2, 3), np.uint8)))
        batcher.announce()
        batcher.announce()
        while device.waiting == 0:
            await asyncio.sleep(0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await batcher.submit(np.full((4, 4, 3), 9, np.uint8))
        device.gate.set()
        await first

    asyncio.run(give_up())
    assert [9] not in device.batches


def test_no_lane_rests_while_there_is_work_for_it() -> None:
    together = threading.Barrier(2)

    def run(photos: Sequence[Pixels]) -> list[ClassMap | None]:
        together.wait(30)  # broken unless the other lane comes, too
        return [np.zeros((1, 1), np.uint8) for _ in photos]

    async def two(batcher: Batcher) -> list[Ran]:
        batcher.announce()
        batcher.announce()
        first = asyncio.create_task(batcher.submit(np.zeros((2, 2, 3), np.uint8)))
        await asyncio.sleep(0.05)  # one lane now waits for company
        return [await batcher.submit(np.zeros((2, 2, 3), np.uint8)), await first]

    batcher = Batcher(run, Limits(photos=8, pixels=10**9, wait=100.0), lanes=2)
    try:
        assert len(asyncio.run(two(batcher))) == 2
    finally:
        batcher.close()
