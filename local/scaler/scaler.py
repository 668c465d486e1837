"""The scaler's effects: pushes forwarded to instances, processes started and told to end, and the record of both.

The rules are in `fleet.py`; this module only carries its decisions out.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from local.client import Answer, Unreachable
from local.runfiles import log_file, write_atomically
from local.scaler import process
from local.scaler.fleet import Down, Fleet, Instance, Limits, State
from local.scaler.process import Process
from local.scaler.revisions import Revision
from local.stack import free_ports
from shared.errors import Busy
from shared.logs import Log

START_SECONDS = 120.0  # s until an instance must be ready
END_SECONDS = 9.5  # s that all instances get to end when the scaler itself was told to
_LOOK = 0.1  # s between two looks at the time
_AS_TOLD = (0, -signal.SIGTERM)  # exit statuses after SIGTERM, which may come before the instance can handle it
_HEADERS = [(b"content-type", b"application/json")]

Command = Callable[[Revision, int], Sequence[str]]  # what one instance runs, on which port
Place = asyncio.Future[Instance]


class HungUp(Exception):
    """Nobody waits for the answer any more."""


class Scaler:
    """For one event loop. `patience`: s in which an instance has to answer a push; `run`: the run folder."""

    def __init__(
        self, revisions: Iterable[Revision], limits: Limits, patience: float, command: Command, run: Path, log: Log
    ) -> None:
        self.revisions = {one.name: one for one in revisions}
        self.fleet: Fleet[Place] = Fleet(self.revisions, limits)
        self.counts: Counter[tuple[str, str]] = Counter()  # (what happened, revision) → times
        self.cold_seconds = dict.fromkeys(self.revisions, 0.0)  # from start to ready, of all instances
        self._patience = patience
        self._command = command
        self._run = run
        self._log = log
        self._processes: dict[Instance, Process] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._rows: list[dict[str, Any]] | None = None
        self._killing_at = float("inf")

    async def keep(self) -> None:
        """Look at the time, until cancelled: idle instances, pauses and turns that are over."""
        while True:
            self._pump()
            await asyncio.sleep(_LOOK)

    async def push(self, revision: str, body: bytes, hung_up: Callable[[], Awaitable[None]]) -> Answer:
        """The instance's answer. Raises `Busy`, `Down`, or `HungUp` when `hung_up` returned while the push waited."""
        instance = await self._placed(revision, hung_up)
        running = self._processes[instance]
        try:
            async with asyncio.timeout(self._patience):
                return await running.client.request("POST", "/push", _HEADERS, body)
        except Unreachable:
            self.fleet.doubt(instance)
            raise Down("the instance is gone") from None
        except TimeoutError:
            self._log.error("hangs", revision=revision, pid=running.pid)
            running.signal(signal.SIGKILL)
            raise Down("the instance did not answer") from None
        finally:
            self.fleet.leave(instance, _now())
            self._pump()

    def close(self) -> None:
        """Nobody comes in any more; every instance is told to end."""
        if self._killing_at < float("inf"):
            return
        self._killing_at = _now() + END_SECONDS
        self._send_away(self.fleet.close(), Down("the scaler is stopping"))
        for running in self._processes.values():
            running.stop()
        self._pump()

    async def stop(self) -> None:
        """Returns when every process has ended."""
        self.close()
        if self._lives:
            await asyncio.wait(self._lives, timeout=self._killing_at - _now())
        for running in self._processes.values():
            running.signal(signal.SIGKILL)
        await asyncio.gather(*self._lives)

    # -- pushes

    async def _placed(self, revision: str, hung_up: Callable[[], Awaitable[None]]) -> Instance:
        place: Place = asyncio.get_running_loop().create_future()
        try:
            self.fleet.admit(revision, place, _now())
        except Busy:
            self.counts["refused", revision] += 1
            raise
        self._pump()
        if not place.done():
            await self._wait(revision, place, hung_up)
        return place.result()

    async def _wait(self, revision: str, place: Place, hung_up: Callable[[], Awaitable[None]]) -> None:
        watcher = asyncio.ensure_future(hung_up())
        either: set[asyncio.Future[Any]] = {place, watcher}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watcher.cancel()
            self.fleet.withdraw(revision, place)
        if not place.done():
            raise HungUp

    def _send_away(self, places: Iterable[Place], error: Down) -> None:
        for place in places:
            place.set_exception(error)

    # -- instances

    def _pump(self) -> None:
        """Everything that can be done now."""
        for place, instance in self.fleet.place():
            place.set_result(instance)
        for instance in self.fleet.start(_now()):
            life = asyncio.get_running_loop().create_task(self._live(instance))
            self._lives.add(life)
            life.add_done_callback(self._lives.discard)
        for instance in self.fleet.stop(_now()):
            self._log("stopping", revision=instance.revision, pid=self._processes[instance].pid)
            self._processes[instance].stop()
        self._record()

    async def _live(self, instance: Instance) -> None:
        """One instance, from its start to its end."""
        self.counts["starts", instance.revision] += 1
        began = _now()
        try:
            running = await self._started(instance)
        except OSError as error:
            self._gone(instance, error.strerror or "the system refuses", -1)
            return
        self._log("started", revision=instance.revision, pid=running.pid, port=running.port)
        self._processes[instance] = running
        if instance.state is State.STOPPING:
            running.stop()
        self._pump()
        status = await self._ended(instance, running, began)
        del self._processes[instance]
        self._gone(instance, running.last_words, status)

    async def _started(self, instance: Instance) -> Process:
        port = free_ports(1)[0]
        command = self._command(self.revisions[instance.revision], port)
        return await process.start(command, port, log_file(self._run / "logs", "inference"))

    async def _ended(self, instance: Instance, running: Process, began: float) -> int:
        """Says meanwhile when it is ready, and kills it if it never is."""
        ended, ready = asyncio.create_task(running.ended()), asyncio.create_task(running.ready())
        await asyncio.wait({ended, ready}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            self._ready(instance, running, _now() - began)
        elif not ended.done():
            self._log.error("never_ready", revision=instance.revision, pid=running.pid)
            running.signal(signal.SIGKILL)
        ready.cancel()
        return await ended

    def _ready(self, instance: Instance, running: Process, seconds: float) -> None:
        self._log("ready", revision=instance.revision, pid=running.pid, seconds=round(seconds, 3))
        self.counts["ready", instance.revision] += 1
        self.cold_seconds[instance.revision] += seconds
        self.fleet.ready(instance, _now())
        self._pump()

    def _gone(self, instance: Instance, last_words: str, status: int) -> None:
        was, now, name = instance.state, _now(), instance.revision
        waiting = self.fleet.gone(instance, now)
        pause = self.fleet.pause(name, now)
        if was is State.STOPPING and status in _AS_TOLD:
            self._log("stopped", revision=name, status=status)
        else:
            self.counts["deaths", name] += 1
            self._log.error("died", revision=name, was=was.value, status=status, retry_in=pause, message=last_words)
        self._send_away(waiting, Down("no instance can be started", pause))
        self._pump()

    def _record(self) -> None:
        """`instances.json`, whenever it would say something new."""
        rows = [
            {
                "pid": running.pid,
                "since": running.since,
                "port": running.port,
                "revision": one.revision,
                "state": one.state.value,
            }
            for one, running in self._processes.items()
        ]
        if rows == self._rows:
            return
        self._rows = rows
        try:
            write_atomically(self._run / "instances.json", rows)
        except OSError as error:
            self._log.warning("unrecorded", message=error.strerror)


def _now() -> float:
    return time.monotonic()
