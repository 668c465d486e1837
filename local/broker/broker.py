"""The delivery machine's effects: publishing into queues, pushing over HTTP, writing what happened to the store.

The rules are in `queue.py` and `window.py`; this module only carries their decisions out.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from local.broker.queue import Delivery, DeliveryQueue, Lease, Message, Outcome
from local.broker.routes import Route
from local.broker.store import Row, Store
from local.client import Client, Unreachable
from shared import envelope
from shared.errors import NotFound
from shared.logs import Log

DRAIN_SECONDS = 2.0  # what pushes in flight get when the broker is told to stop; the rest is redelivered
EXPIRY_SECONDS = 1.0  # how often retention is looked at
LOAD = 1000  # deliveries per page read from disk
LONGEST_RETRY_AFTER = 600.0  # s
_HEADERS = [(b"content-type", b"application/json"), (b"user-agent", b"maskline-broker")]

Item = tuple[bytes, Mapping[str, str]]  # data, attributes


@dataclass(frozen=True, slots=True)
class Faults:
    """For tests: what an at-least-once queue may do, done on purpose."""

    duplicate: float = 0.0  # chance that a push is sent twice
    delay: float = 0.0  # s before the first push
    reorder: bool = False  # each message's delay is its own, between 0 and `delay`
    random: Random = field(default_factory=Random)

    def first_due(self, now: float) -> float:
        return now + self.delay * (self.random.random() if self.reorder else 1.0) if self.delay else now

    def twice(self) -> bool:
        return self.duplicate > 0 and self.random.random() < self.duplicate


def steady_clock() -> Callable[[], float]:
    """Seconds since the epoch that never jump: what leases and retries are timed by."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class Broker:
    def __init__(
        self,
        project: str,
        topics: Iterable[str],
        routes: Iterable[Route],
        store: Store,
        log: Log,
        clock: Callable[[], float] | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.project = project
        self.topics = frozenset(topics)
        self.routes = {route.name: route for route in routes}
        self.queues = {name: DeliveryQueue(route.policy) for name, route in self.routes.items()}
        self.store = store
        self.clock = clock or steady_clock()
        self.counts: Counter[tuple[str, str]] = Counter()  # (what happened, topic or subscription) → times
        self.log = log
        self._faults = faults or Faults()
        self._clients = {route.endpoint: Client(route.endpoint) for route in self.routes.values()}
        self._pushes: dict[Lease, asyncio.Task[None]] = {}
        self._copies: set[asyncio.Task[tuple[int, float]]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._janitor: asyncio.TimerHandle | None = None
        self._open = True

    def start(self) -> None:
        """Carry on with what the store holds."""
        for name, count in self.store.counts().items():
            if name in self.queues:
                self.queues[name].beyond = count
                self._pump(name)
        self._clean()

    async def stop(self) -> None:
        self._open = False
        for timer in [*self._timers.values(), *([self._janitor] if self._janitor else [])]:
            timer.cancel()
        if self._pushes:
            await asyncio.wait(self._pushes.values(), timeout=DRAIN_SECONDS)
        for push in [*self._pushes.values(), *self._copies]:
            push.cancel()
        for client in self._clients.values():
            client.close()

    # -- publishing

    async def publish(self, topic: str, items: Iterable[Item]) -> list[str]:
        """Message ids, durable. Raises `NotFound`, or `Retryable` if the disk refuses."""
        if topic not in self.topics:
            raise NotFound(f"there is no topic {topic}")
        messages = [self._message(topic, data, attributes) for data, attributes in items]
        rows = self._fan_out(messages)
        if rows:
            await self.store.insert(rows, self._arrived)
        self.counts["published", topic] += len(messages)
        return [message.id for message in messages]

    def waiting(self, topic: str) -> Iterable[Message]:
        """What nobody acknowledged yet, as far as it is in memory."""
        for name, queue in self.queues.items():
            if self.routes[name].topic == topic:
                yield from (delivery.message for delivery in queue.held)

    def _message(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> Message:
        return Message(str(self.store.number()), topic, data, attributes, time.time())

    def _fan_out(self, messages: Iterable[Message]) -> list[Row]:
        due = self.clock()
        return [
            (route.name, Delivery(self.store.number(), message, due=self._faults.first_due(due)))
            for message in messages
            for route in self.routes.values()
            if route.topic == message.topic and route.matches(message.attributes)
        ]

    def _arrived(self, rows: list[Row]) -> None:
        for name, delivery in rows:
            self.queues[name].offer(delivery)
        for name in {name for name, _ in rows}:
            self._pump(name)

    # -- pushing

    def _pump(self, name: str) -> None:
        """Everything that one subscription can do now; then sleep until it can do more."""
        if not self._open:
            return
        queue = self.queues[name]
        for lease, outcome in queue.expire_leases(self.clock()):
            self._abort(lease)
            self._nacked(self.routes[name], lease, outcome)
        for lease in queue.lease(self.clock()):
            self._pushes[lease] = asyncio.create_task(self._push(self.routes[name], lease))
            if self._faults.twice():
                again = asyncio.create_task(self._post(self.routes[name], lease))
                self._copies.add(again)
                again.add_done_callback(self._copies.discard)
        after = queue.page_after()
        if after is not None:
            self.store.load(name, after, LOAD, queue.policy.page_bytes, lambda page: self._loaded(name, page))
        self._sleep(name, queue.next_time())

    def _loaded(self, name: str, page: list[Delivery]) -> None:
        longest = self.clock() + self.routes[name].policy.retry_max
        for delivery in page:
            delivery.due = min(delivery.due, longest)  # a clock that was set back delays nothing for hours
        self.queues[name].loaded(page)
        self._expire(name)
        self._pump(name)

    def _sleep(self, name: str, until: float | None) -> None:
        if until is None:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, until - self.clock())
        timer = self._timers.get(name)
        if timer is not None and timer.when() <= when:
            return  # wakes early enough anyway
        if timer is not None:
            timer.cancel()
        self._timers[name] = loop.call_at(when, self._wake, name)

    def _wake(self, name: str) -> None:
        del self._timers[name]  # uvloop's timers may fire a little early: a spent one must not pass for one to come
        self._pump(name)

    async def _push(self, route: Route, lease: Lease) -> None:
        status, retry_after = await self._post(route, lease)
        self._pushes.pop(lease, None)
        queue = self.queues[route.name]
        if 200 <= status < 300:
            if queue.ack(lease):
                self._acked(route, lease.delivery)
        else:
            outcome = queue.nack(lease, self.clock(), retry_after, busy=status == 429)
            self._nacked(route, lease, outcome)
        self._pump(route.name)

    async def _post(self, route: Route, lease: Lease) -> tuple[int, float]:
        """The answer's status (0: none) and Retry-After in seconds."""
        message = lease.delivery.message
        subscription = f"projects/{self.project}/subscriptions/{route.name}"
        push = envelope.Push(message.data, message.attributes, message.id, subscription, lease.attempt)
        body = envelope.encode(push, rfc3339(message.publish_time))
        try:
            answer = await self._clients[route.endpoint].request("POST", route.path, _HEADERS, body)
        except Unreachable:
            return 0, 0.0
        return answer.status, _seconds(answer.header(b"retry-after"))

    def _abort(self, lease: Lease) -> None:
        push = self._pushes.pop(lease, None)
        if push is not None:
            push.cancel()

    def _acked(self, route: Route, delivery: Delivery) -> None:
        self.counts["delivered", route.name] += 1
        self.store.forget(delivery.seq)
        if delivery.message.attributes.get("queueLost"):
            self.store.settle_heard()

    def _nacked(self, route: Route, lease: Lease, outcome: Outcome) -> None:
        if outcome is Outcome.STALE:
            return
        self.counts["nacked", route.name] += 1
        if outcome is Outcome.DEAD:
            self._bury(route, lease.delivery)
        else:
            self.store.note(lease.delivery)

    def _bury(self, route: Route, delivery: Delivery) -> None:
        self.counts["dead_lettered", route.name] += 1
        message = delivery.message
        source = {
            "CloudPubSubDeadLetterSourceDeliveryCount": str(delivery.attempts),
            "CloudPubSubDeadLetterSourceSubscription": route.name,
            "CloudPubSubDeadLetterSourceSubscriptionProject": self.project,
            "CloudPubSubDeadLetterSourceTopicPublishTime": rfc3339(message.publish_time),
        }
        buried = self._message(route.dead_letter, message.data, {**message.attributes, **source})
        self.log.warning("dead_lettered", subscription=route.name, message_id=message.id, attempts=delivery.attempts)
        self.store.replace(delivery.seq, self._fan_out([buried]), self._arrived)

    # -- time

    def _clean(self) -> None:
        for name in self.queues:
            if self._expire(name):
                self._pump(name)
        self._janitor = asyncio.get_running_loop().call_later(EXPIRY_SECONDS, self._clean)

    def _expire(self, name: str) -> int:
        dropped = self.queues[name].drop_old(self.clock())
        for delivery in dropped:
            self.counts["expired", name] += 1
            self.store.forget(delivery.seq)
        return len(dropped)


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(retry_after: bytes) -> float:
    """Only the form in seconds: dates come from nobody on this machine."""
    try:
        return min(max(float(retry_after), 0.0), LONGEST_RETRY_AFTER)
    except ValueError:
        return 0.0
