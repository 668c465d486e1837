"""The line in front of the workers, and the threads that feed them: effects around the decisions in `batching`.

Each worker has one thread here; it takes the next batch, has it run, and hands the answers to the event loop. It never
waits for the loop, so a worker is idle only when nobody is in line.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from inference_container.batching import Limits, Shape, Waiting, next_batch
from inference_container.segmented import Answer, Job, Segmented
from shared.errors import MasklineError, Retryable

Run = Callable[[Sequence[Job]], list[Answer]]
_SMOOTHING = 0.2  # of the newest batch in the average of seconds per photo


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a photo, and how long it waited (seconds): in line, and for its neighbours in the batch."""

    segmented: Segmented
    waited: float


@dataclass(slots=True, eq=False)
class _Ticket:
    job: Job
    waiting: Waiting
    answer: asyncio.Future[Ran]


class Batcher:
    """`submit` from one event loop. `on_batch(photos, seconds)` is called on a worker's thread."""

    def __init__(self, run: Run, limits: Limits, workers: int) -> None:
        self.seconds_per_photo = 0.0  # moving average over all workers together
        self.on_batch: Callable[[int, float], None] = lambda photos, seconds: None
        self._run = run
        self._limits = limits
        self._workers = workers
        self._line: list[_Ticket] = []
        self._coming = 0
        self._running = 0
        self._alone = False  # a photo on its last chance is in a worker
        self._closed = False
        self._changed = threading.Condition()
        for number in range(workers):
            threading.Thread(target=self._worker, name=f"worker-{number}", daemon=True).start()

    @contextmanager
    def coming(self) -> Iterator[None]:
        """A photo is on its way here: incomplete batches wait for it, up to the limit."""
        self._coming += 1
        try:
            yield
        finally:
            with self._changed:
                self._coming -= 1
                self._changed.notify()

    async def submit(self, job: Job, shape: Shape, source: int = 0, exclusive: bool = False) -> Ran:
        """Stand in line; `shape`: at model size, `source`: px of the file.

        Raises what is wrong with the photo, or with the device.
        Cancelling leaves the line.
        """
        waiting = Waiting(shape, time.monotonic(), exclusive, source)
        ticket = _Ticket(job, waiting, asyncio.get_running_loop().create_future())
        with self._changed:
            self._line.append(ticket)
            self._changed.notify()
        try:
            return await ticket.answer
        finally:
            with self._changed:
                if ticket in self._line:
                    self._line.remove(ticket)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _worker(self) -> None:
        while batch := self._take():
            started = time.monotonic()
            try:
                answers = self._run([ticket.job for ticket in batch])
            except Exception:
                answers = [Retryable("the worker failed on this photo")] * len(batch)
            self._done(batch, answers, started)

    def _take(self) -> list[_Ticket]:
        """The next batch, once there is one; empty when closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                line = [] if self._alone else [ticket.waiting for ticket in self._line]
                idle = self._workers - self._running
                choice = next_batch(line, self._limits, now, coming=self._coming, idle=idle, running=self._running)
                if choice.positions:
                    batch = [self._line[at] for at in choice.positions]
                    self._line = [ticket for ticket in self._line if ticket not in batch]
                    self._running += 1
                    self._alone = batch[0].waiting.exclusive
                    if self._line:
                        self._changed.notify()  # what is left may be another worker's
                    return batch
                self._changed.wait(choice.look_again and max(choice.look_again - now, 0))
            return []

    def _done(self, batch: list[_Ticket], answers: list[Answer], started: float) -> None:
        seconds = time.monotonic() - started
        with self._changed:
            self._running -= 1
            self._alone = False
            newest = seconds / len(batch) / self._workers
            step = _SMOOTHING if self.seconds_per_photo else 1.0
            self.seconds_per_photo += step * (newest - self.seconds_per_photo)
            self._changed.notify_all()
        self.on_batch(len(batch), seconds)
        loop = batch[0].answer.get_loop()
        try:
            loop.call_soon_threadsafe(_deliver, batch, answers, started + seconds)
        except RuntimeError:
            pass  # the loop has ended: nobody waits for these any more


def _deliver(batch: list[_Ticket], answers: list[Answer], ended: float) -> None:
    for ticket, answer in zip(batch, answers, strict=True):
        if ticket.answer.done():
            continue  # cancelled meanwhile
        if isinstance(answer, MasklineError):
            ticket.answer.set_exception(answer)
        else:
            own = sum(answer.seconds.values())
            ticket.answer.set_result(Ran(answer, max(0.0, ended - ticket.waiting.since - own)))
