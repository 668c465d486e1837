"""Which instance takes a push, when one more is started, when one is stopped. A pure state machine, as the broker's
queue is: no clock (`now` comes in, in seconds), no processes, no tasks.

A push is *waiting* for an instance or *inside* one. After every event, whoever drives the machine asks `place`, `start`
and `stop`, in this order, and does what they say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from shared.errors import Busy, Retryable

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # s before another start after the 1st, 2nd, … failure in a row: it doubles
TURN = 5.0  # s that a busy instance serves before it makes room for a revision that has none
LONGEST_TURN = 320.0  # s; for one that could not start it doubles with every failure: the old one goes on serving
Waiter = TypeVar("Waiter")  # how the driver knows a push


class Down(Retryable):
    """No instance can be had now; `retry_after` says for how many seconds at least."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Limits:
    instances: int  # over all revisions; those that are about to end count, too
    concurrency: int  # pushes inside one instance
    idle: float  # s without pushes after which an instance is stopped


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"  # takes no more pushes; it is stopped when the last one has left
    STOPPING = "stopping"  # it was told to end


@dataclass(slots=True, eq=False)
class Instance:
    revision: str
    state: State = State.STARTING
    inside: int = 0
    ready_at: float = 0.0
    idle_since: float = 0.0


@dataclass(slots=True)
class _Line(Generic[Waiter]):
    """What one revision knows beside its instances."""

    waiting: deque[Waiter] = field(default_factory=deque)
    started_at: float = float("-inf")  # the last one
    failures: int = 0  # to start, in a row
    retry_at: float = 0.0  # no start before


class Fleet(Generic[Waiter]):
    def __init__(self, revisions: Iterable[str], limits: Limits) -> None:
        self.limits = limits
        self.instances: list[Instance] = []
        self._lines: dict[str, _Line[Waiter]] = {name: _Line() for name in revisions}
        self._open = True

    # -- pushes

    def admit(self, revision: str, who: Waiter, now: float) -> None:
        """`who` waits from now on. Raises `Busy` beyond what all allowed instances could take, and `Down`."""
        line = self._lines[revision]
        if not self._open:
            raise Down("the scaler is stopping")
        if self._hopeless(revision, now):
            raise Down("no instance can be started", line.retry_at - now)
        if self.inside(revision) + len(line.waiting) >= self.limits.instances * self.limits.concurrency:
            raise Busy("every instance is full")
        line.waiting.append(who)

    def withdraw(self, revision: str, who: Waiter) -> None:
        """It does not wait any more."""
        with suppress(ValueError):
            self._lines[revision].waiting.remove(who)

    def place(self) -> list[tuple[Waiter, Instance]]:
        """Who need not wait any more, and where each goes: to the fullest that has room, so that others get idle."""
        placed = []
        for name, line in self._lines.items():
            while line.waiting and (instance := self._fullest(name)):
                instance.inside += 1
                placed.append((line.waiting.popleft(), instance))
        return placed

    def leave(self, instance: Instance, now: float) -> None:
        """One push inside it has its answer."""
        instance.inside -= 1
        instance.idle_since = now

    # -- instances

    def start(self, now: float) -> list[Instance]:
        """New ones, already counted: one more while more wait than those that are starting can take."""
        started = []
        while self._open and len(self.instances) < self.limits.instances and (needy := self._needy(now)):
            name = min(needy, key=lambda name: (self._living(name), self._lines[name].started_at))
            self._lines[name].started_at = now
            started.append(Instance(name))
            self.instances.append(started[-1])
        return started

    def ready(self, instance: Instance, now: float) -> None:
        if instance.state is State.STARTING:
            instance.state = State.READY
            instance.ready_at = instance.idle_since = now
            self._lines[instance.revision].failures = 0
            self._lines[instance.revision].retry_at = 0.0

    def doubt(self, instance: Instance) -> None:
        """A connection to it broke: it gets no more pushes."""
        if instance.state is State.READY:
            instance.state = State.DRAINING

    def gone(self, instance: Instance, now: float) -> list[Waiter]:
        """Its process has ended. Returns those who wait in vain now."""
        self.instances.remove(instance)
        line = self._lines[instance.revision]
        if instance.state is State.STARTING:
            line.failures += 1
            line.retry_at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(line.failures - 1, 10))
        return self._sent_away(line) if self._hopeless(instance.revision, now) else []

    def stop(self, now: float) -> list[Instance]:
        """Those that have to be told to end; never one with pushes inside."""
        self._make_room(now)
        ending = [one for one in self.instances if one.inside == 0 and self._may_end(one, now)]
        for one in ending:
            one.state = State.STOPPING
        return ending

    def close(self) -> list[Waiter]:
        """Nobody comes in any more, and all instances are stopping. Returns those who waited."""
        self._open = False
        for one in self.instances:
            one.state = State.STOPPING
        return [who for line in self._lines.values() for who in self._sent_away(line)]

    # -- about

    def count(self, revision: str, *states: State) -> int:
        return sum(one.revision == revision and one.state in states for one in self.instances)

    def inside(self, revision: str) -> int:
        return sum(one.inside for one in self.instances if one.revision == revision)

    def waiting(self, revision: str) -> int:
        return len(self._lines[revision].waiting)

    def pause(self, revision: str, now: float) -> float:
        """Seconds until a revision that could not start may try again."""
        return max(0.0, self._lines[revision].retry_at - now)

    # -- inside

    def _living(self, revision: str) -> int:
        return self.count(revision, State.STARTING, State.READY)

    def _hopeless(self, revision: str, now: float) -> bool:
        return now < self._lines[revision].retry_at and not self._living(revision)

    def _fullest(self, revision: str) -> Instance | None:
        room = [
            one
            for one in self.instances
            if one.revision == revision and one.state is State.READY and one.inside < self.limits.concurrency
        ]
        return max(room, key=lambda one: one.inside, default=None)

    def _needy(self, now: float) -> list[str]:
        return [name for name, line in self._lines.items() if now >= line.retry_at and self._short(name, line)]

    def _short(self, name: str, line: _Line[Waiter]) -> bool:
        starting = self.count(name, State.STARTING)
        if starting and line.failures:
            return False  # after a failure one is tried at a time
        return len(line.waiting) > starting * self.limits.concurrency

    def _make_room(self, now: float) -> None:
        """At the cap, a revision without any instance gets the place of an idle one or of one that had its turn."""
        without = [name for name in self._needy(now) if not self._living(name)]
        leaving = sum(one.state in (State.DRAINING, State.STOPPING) for one in self.instances)
        if len(self.instances) < self.limits.instances or len(without) <= leaving:
            return
        failures = min(self._lines[name].failures for name in without)
        turn = min(LONGEST_TURN, TURN * 2.0 ** min(failures, 10))
        ready = [one for one in self.instances if one.state is State.READY]
        done = [one for one in ready if (one.inside == 0 and not failures) or now - one.ready_at >= turn]
        if done:
            min(done, key=lambda one: (-self._living(one.revision), one.inside)).state = State.DRAINING

    def _may_end(self, one: Instance, now: float) -> bool:
        idle = one.state is State.READY and now - one.idle_since >= self.limits.idle
        return idle or one.state is State.DRAINING

    def _sent_away(self, line: _Line[Waiter]) -> list[Waiter]:
        waiting = list(line.waiting)
        line.waiting.clear()
        return waiting
