"""Every port with faults on purpose: what an at-least-once world does to a call, drawn from a seeded plan or scripted.

A fault is chosen per call. `AFTER` is the most valuable one: the write has happened and the caller sees a timeout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from random import Random
from typing import Any, Literal, TypeVar

from shared.errors import Conflict, Retryable, StorageFull
from shared.ports import (
    Data,
    Document,
    Documents,
    Message,
    ObjectInfo,
    Objects,
    Services,
    Share,
    SignedRequest,
    Topics,
    Traffic,
    Where,
)

T = TypeVar("T")


class Fault(Enum):
    NONE = "none"
    BEFORE = "fail before"  # nothing happened
    AFTER = "fail after"  # it happened, the caller sees a timeout
    REPEAT = "repeat"  # the adapter's own retry: it happened twice, the caller sees the second answer
    LOST_RACE = "lose a race"  # a compare-and-set fails because of somebody else, or of contention
    SLOW = "slow"
    FULL = "disk full"  # writes only
    KILL_BEFORE = "kill before"
    KILL_AFTER = "kill after"


class Killed(BaseException):
    """The process ends here: nothing of it runs any more."""


def die() -> None:
    raise Killed


@dataclass
class Plan:
    """What happens to each call. `choose` may be replaced by a script; `kill` ends the caller's process; `pause` waits
    (None: no time passes); `called` counts calls by name, `injected` the faults."""

    choose: Callable[[str], Fault]
    kill: Callable[[], None] = die
    pause: Callable[[bool], None] = lambda slow: None
    called: Counter[str] = field(default_factory=Counter)
    injected: Counter[Fault] = field(default_factory=Counter)

    def around(self, name: str, call: Callable[[], T], writes: bool, repeatable: bool = True) -> T:
        self.called[name] += 1
        fault = self.choose(name)
        if (fault is Fault.FULL and not writes) or (fault is Fault.REPEAT and not (writes and repeatable)):
            fault = Fault.NONE
        if fault is Fault.LOST_RACE and name != "documents.replace":
            fault = Fault.NONE
        self.injected[fault] += 1
        self.pause(fault is Fault.SLOW)
        if fault is Fault.KILL_BEFORE:
            self.kill()
        if fault is Fault.BEFORE:
            raise Retryable("no connection")
        if fault is Fault.LOST_RACE:
            raise Conflict("the document has changed since it was read")
        if fault is Fault.FULL:
            raise StorageFull("the disk is full")
        result = call()
        if fault is Fault.REPEAT:
            result = call()
        if fault is Fault.KILL_AFTER:
            self.kill()
        self.pause(fault is Fault.SLOW)
        if fault is Fault.AFTER:
            raise Retryable("no answer")
        return result


def drawn(random: Random, rates: Mapping[Fault, float]) -> Callable[[str], Fault]:
    """Each fault with its rate, for every call alike."""
    faults, weights = [Fault.NONE, *rates], [1 - sum(rates.values()), *rates.values()]
    return lambda name: random.choices(faults, weights)[0]


def nth(number: int, fault: Fault) -> Callable[[str], Fault]:
    """Only the call with this number, from 1."""
    seen = 0

    def choose(name: str) -> Fault:
        nonlocal seen
        seen += 1
        return fault if seen == number else Fault.NONE

    return choose


@dataclass
class FaultyDocuments:
    real: Documents
    plan: Plan

    def get(self, path: str) -> Document | None:
        return self.plan.around("documents.get", lambda: self.real.get(path), writes=False)

    def create(self, path: str, data: Data) -> Document:
        return self.plan.around("documents.create", lambda: self.real.create(path, data), writes=True)

    def replace(self, path: str, data: Data, version: str) -> Document:
        return self.plan.around("documents.replace", lambda: self.real.replace(path, data, version), writes=True)

    def delete(self, path: str, version: str | None = None) -> None:
        self.plan.around("documents.delete", lambda: self.real.delete(path, version), writes=True)

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[tuple[str, Literal["asc", "desc"]]] = (),
        limit: int = 100,
        after: Sequence[Any] | None = None,
    ) -> list[Document]:
        ask = lambda: self.real.query(collection, where, order_by, limit, after)  # noqa: E731 - one long line less
        return self.plan.around("documents.query", ask, writes=False)

    def watch(self, path: str) -> AsyncIterator[Document | None]:
        return self.plan.around("documents.watch", lambda: self.real.watch(path), writes=False)


@dataclass
class FaultyObjects:
    real: Objects
    plan: Plan

    def stat(self, bucket: str, name: str, generation: int | None = None) -> ObjectInfo:
        return self.plan.around("objects.stat", lambda: self.real.stat(bucket, name, generation), writes=False)

    def get(self, bucket: str, name: str, generation: int | None = None, span: tuple[int, int] | None = None) -> bytes:
        return self.plan.around("objects.get", lambda: self.real.get(bucket, name, generation, span), writes=False)

    def put(
        self,
        bucket: str,
        name: str,
        data: bytes,
        content_type: str,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Without a precondition no adapter repeats it: that would make two generations."""
        return self.plan.around(
            "objects.put",
            lambda: self.real.put(bucket, name, data, content_type, if_generation_match, metadata),
            writes=True,
            repeatable=if_generation_match is not None,
        )

    def delete(self, bucket: str, name: str, generation: int | None = None) -> None:
        self.plan.around("objects.delete", lambda: self.real.delete(bucket, name, generation), writes=True)

    def list(self, bucket: str, prefix: str = "", after: str = "", limit: int = 1000) -> list[ObjectInfo]:
        return self.plan.around("objects.list", lambda: self.real.list(bucket, prefix, after, limit), writes=False)

    def sign(
        self,
        method: Literal["GET", "PUT", "POST"],
        bucket: str,
        name: str,
        expires: datetime,
        content_type: str = "",
        max_bytes: int = 0,
    ) -> SignedRequest:
        ask = lambda: self.real.sign(method, bucket, name, expires, content_type, max_bytes)  # noqa: E731
        return self.plan.around("objects.sign", ask, writes=False)


@dataclass
class FaultyTopics:
    real: Topics
    plan: Plan

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        return self.plan.around("topics.publish", lambda: self.real.publish(topic, data, attributes), writes=True)

    def publish_all(self, topic: str, messages: Sequence[Message]) -> Sequence[str | Exception]:
        return self.plan.around("topics.publish", lambda: self.real.publish_all(topic, messages), writes=True)


@dataclass
class FaultyServices:
    real: Services
    plan: Plan

    def start_job(
        self, job: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None, tasks: int = 0
    ) -> str:
        """Never repeated, as the port says."""
        start = lambda: self.real.start_job(job, arguments, environment, tasks)  # noqa: E731
        return self.plan.around("services.start_job", start, writes=True, repeatable=False)

    def traffic(self, service: str) -> Traffic:
        return self.plan.around("services.traffic", lambda: self.real.traffic(service), writes=False)

    def set_traffic(self, service: str, shares: Sequence[Share], version: str) -> None:
        change = lambda: self.real.set_traffic(service, shares, version)  # noqa: E731
        self.plan.around("services.set_traffic", change, writes=True)

    def set_min_instances(self, service: str, count: int) -> None:
        change = lambda: self.real.set_min_instances(service, count)  # noqa: E731
        self.plan.around("services.set_min_instances", change, writes=True)
