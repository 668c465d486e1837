"""The line in front of the device, and the threads that run it: effects around the decisions in `batching`.

Each lane is one thread; it takes the next batch, runs it, and hands the answers to the event loop. It never waits for
the loop, so the device is idle only when nobody is in line.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference_container.batching import Limits, Waiting, next_batch
from inference_container.faults import NotFinite, OutOfMemory
from shared.errors import Retryable

Pixels = NDArray[np.uint8]  # (h, w, 3)
ClassMap = NDArray[np.uint8]
Run = Callable[[Sequence[Pixels]], list[ClassMap | None]]
_SMOOTHING = 0.2  # of the newest batch in the average of seconds per photo


@dataclass(frozen=True, slots=True)
class Ran:
    """A photo's classes, how long it stood in line, and how long its batch took (seconds)."""

    classes: ClassMap
    waited: float
    forward: float


@dataclass(slots=True, eq=False)
class _Ticket:
    pixels: Pixels
    waiting: Waiting
    answer: asyncio.Future[Ran]


class Batcher:
    """`submit` from one event loop. `on_batch(photos, seconds)` is called on a lane's thread."""

    def __init__(self, run: Run, limits: Limits, lanes: int) -> None:
        self.limits = limits
        self.seconds_per_photo = 0.0  # moving average over all lanes together
        self.on_batch: Callable[[int, float], None] = lambda photos, seconds: None
        self._run = run
        self._lanes = lanes
        self._line: list[_Ticket] = []
        self._coming = 0
        self._running = 0
        self._alone = False  # a photo on its last chance is on the device
        self._closed = False
        self._changed = threading.Condition()
        for number in range(lanes):
            threading.Thread(target=self._lane, name=f"lane-{number}", daemon=True).start()

    def announce(self) -> None:
        """A photo is on its way here: batches wait for it (up to the limit) until `submit` or `withdraw`."""
        self._coming += 1

    def withdraw(self) -> None:
        with self._changed:
            self._coming -= 1
            self._changed.notify()

    async def submit(self, pixels: Pixels, exclusive: bool = False) -> Ran:
        """Stand in line, once announced. Raises `NotFinite`, `OutOfMemory`, `DeviceBroken` or `Retryable`.

        Cancelling leaves the line.
        """
        shape = (pixels.shape[0], pixels.shape[1])
        waiting = Waiting(shape, time.monotonic(), exclusive)
        ticket = _Ticket(pixels, waiting, asyncio.get_running_loop().create_future())
        with self._changed:
            self._line.append(ticket)
            self._coming -= 1
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

    def _lane(self) -> None:
        while batch := self._take():
            started = time.monotonic()
            answers = self._answers([ticket.pixels for ticket in batch])
            self._done(batch, answers, started)

    def _take(self) -> list[_Ticket]:
        """The next batch, once there is one; empty when closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                line = [] if self._alone else [ticket.waiting for ticket in self._line]
                idle = self._lanes - self._running
                choice = next_batch(line, self.limits, now, coming=self._coming, idle=idle, running=self._running)
                if choice.positions:
                    batch = [self._line[at] for at in choice.positions]
                    self._line = [ticket for ticket in self._line if ticket not in batch]
                    self._running += 1
                    self._alone = batch[0].waiting.exclusive
                    if self._line:
                        self._changed.notify()  # what is left may be another lane's
                    return batch
                self._changed.wait(choice.look_again and max(choice.look_again - now, 0))
            return []

    def _answers(self, photos: list[Pixels]) -> list[ClassMap | Exception]:
        """One answer per photo. A batch that does not fit is halved, and no batch grows so large again."""
        try:
            return [NotFinite() if one is None else one for one in self._run(photos)]
        except OutOfMemory as error:
            if len(photos) == 1:
                return [error]
            half = len(photos) // 2
            fits = half * photos[0].shape[0] * photos[0].shape[1]
            self.limits = replace(self.limits, pixels=min(fits, self.limits.pixels))
            return self._answers(photos[:half]) + self._answers(photos[half:])
        except Retryable as error:
            return [error] * len(photos)
        except Exception:
            return [Retryable("the network failed on this photo")] * len(photos)

    def _done(self, batch: list[_Ticket], answers: list[ClassMap | Exception], started: float) -> None:
        seconds = time.monotonic() - started
        with self._changed:
            self._running -= 1
            self._alone = False
            newest = seconds / len(batch) / self._lanes
            step = _SMOOTHING if self.seconds_per_photo else 1.0
            self.seconds_per_photo += step * (newest - self.seconds_per_photo)
            self._changed.notify_all()
        self.on_batch(len(batch), seconds)
        loop = batch[0].answer.get_loop()
        try:
            loop.call_soon_threadsafe(_deliver, batch, answers, started, seconds)
        except RuntimeError:
            pass  # the loop has ended: nobody waits for these any more


def _deliver(batch: list[_Ticket], answers: list[ClassMap | Exception], started: float, seconds: float) -> None:
    for ticket, answer in zip(batch, answers, strict=True):
        if ticket.answer.done():
            continue  # cancelled meanwhile
        if isinstance(answer, Exception):
            ticket.answer.set_exception(answer)
        else:
            ticket.answer.set_result(Ran(answer, started - ticket.waiting.since, seconds))
