"""Ticks for the emulator's topics, and the topics themselves: the emulator forgets everything when it ends, so whoever
finds them missing makes them again, and the next tick says that the queue was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from local.broker.schedules import Tick
from shared.errors import MasklineError, Misconfigured
from shared.logs import Log
from shared.ports import Topics

_AGAIN = 0.5  # s after a tick that failed: at the start the emulator takes a while to listen


class Scheduler:
    """`create` makes what is missing and says whether anything was."""

    def __init__(self, create: Callable[[], bool], topics: Topics, log: Log) -> None:
        self._create = create
        self._topics = topics
        self._log = log
        self._lost = False  # until a tick says so
        self.wired = False

    async def run(self, tick: Tick) -> None:
        while True:
            pause = tick.period
            try:
                await asyncio.to_thread(self.tick, tick)
            except MasklineError as error:
                self._log.warning("tick_lost", schedule=tick.schedule, message=str(error))
                pause = min(pause, _AGAIN)
            await asyncio.sleep(pause)

    def tick(self, tick: Tick) -> None:
        if not self.wired:
            self._wire()
        try:
            self._topics.publish(tick.topic, b"{}", self._attributes(tick))
        except Misconfigured:
            self.wired = False
            raise
        self._lost = False

    def _wire(self) -> None:
        if self._create():
            self._lost = True
            self._log("wired")
        self.wired = True

    def _attributes(self, tick: Tick) -> dict[str, str]:
        attributes = {"schedule": tick.schedule}
        return attributes | {"queueLost": "true"} if self._lost else attributes
