"""One subscription's deliveries: what is due, what is leased to a push, what happens to an answer. A pure state
machine: no clock (`now` comes in, in seconds), no I/O, no tasks.

A delivery is always in exactly one place: *held* (in memory, due now or later), *leased* (a push is under way),
*beyond* (only on disk, because memory holds a page at most), or gone (acked, dead-lettered, expired). Whoever drives
the machine writes these steps to disk and does the pushes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from local.broker.turns import Turns
from local.broker.window import Window


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    topic: str
    data: bytes
    attributes: Mapping[str, str]
    publish_time: float  # s since the epoch


@dataclass(slots=True)
class Delivery:
    """One message on its way to one subscription. `seq` is unique in the broker and grows."""

    seq: int
    message: Message
    attempts: int = 0  # pushes so far
    due: float = 0.0

    @property
    def user(self) -> str:
        """Who takes turns with others: named by the message, or the folder of an upload (`users/{user}/…`)."""
        attributes = self.message.attributes
        return attributes.get("user") or "/".join(attributes.get("objectId", "").split("/")[:2])


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds. `page` and `page_bytes` bound what is in memory."""

    ack_deadline: float
    retry_min: float
    retry_max: float
    max_delivery_attempts: int
    max_outstanding: int
    retention: float
    page: int = 10_000
    page_bytes: int = 64 << 20

    def backoff(self, attempts: int) -> float:
        """The pause after the nth failed push: `retry_min`, then doubling up to `retry_max`."""
        return float(min(self.retry_max, self.retry_min * 2.0 ** min(attempts - 1, 60)))


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """A push that must be answered by `deadline`. Answers to an older attempt mean nothing."""

    delivery: Delivery
    attempt: int
    deadline: float
    stamp: int


class Outcome(Enum):
    RETRY = "retry"  # held again, due later
    DEAD = "dead"  # out of attempts: belongs to the dead-letter topic
    STALE = "stale"  # this push does not hold the lease (any more)


class DeliveryQueue:
    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.window = Window(policy.max_outstanding)
        self.beyond = 0  # deliveries that are on disk only
        self.through = 0  # the newest seq that ever was in memory: what is beyond comes after it
        self._held: dict[int, Delivery] = {}  # leased ones too, oldest first
        self._bytes = 0
        self._due: list[tuple[float, int]] = []  # heap of those that are not leased and were not due yet
        self._ready = Turns()
        self._leases: dict[int, Lease] = {}  # oldest deadline first: one ack deadline for all
        self._loading = False

    # -- in

    def offer(self, delivery: Delivery) -> None:
        """A new delivery that is safely on disk; kept in memory if nothing older is only there and a page has room."""
        if self.beyond or self._loading or self._full():
            self.beyond += 1
        else:
            self._hold(delivery)

    def page_after(self) -> int | None:
        """The seq after which a page should be loaded, if it should; then call `loaded` with what is there."""
        if not self.beyond or self._loading or 2 * len(self._held) > self.policy.page or self._full():
            return None
        self._loading = True
        return self.through

    def loaded(self, deliveries: Iterable[Delivery]) -> None:
        """The oldest ones after `page_after()`; none at all means that nothing is beyond."""
        self._loading = False
        rows = list(deliveries)
        self.beyond = max(0, self.beyond - len(rows)) if rows else 0
        for delivery in rows:
            self._hold(delivery)

    # -- out

    def lease(self, now: float) -> list[Lease]:
        """The due deliveries that the window has room for: users in turns, each user's in the order they came due."""
        self._make_ready(now)
        leases: list[Lease] = []
        room = self.window.room(len(self._leases), now)
        while len(leases) < room and self._ready:
            seq = self._ready.take()
            delivery = self._held.get(seq)
            if delivery is None:
                continue  # expired while it waited
            delivery.attempts += 1
            lease = Lease(delivery, delivery.attempts, now + self.policy.ack_deadline, self.window.cuts)
            self._leases[seq] = lease
            leases.append(lease)
        return leases

    def ack(self, lease: Lease) -> bool:
        """True: it is gone. False: too late, somebody else may be pushing it by now."""
        if not self._end(lease):
            return False
        self.window.succeeded()
        self._forget(lease.delivery)
        return True

    def nack(self, lease: Lease, now: float, retry_after: float = 0.0, busy: bool = False) -> Outcome:
        """`retry_after` is the endpoint's wish, a lower bound; `busy`: it answered 429."""
        if not self._end(lease):
            return Outcome.STALE
        self.window.failed(lease.stamp, now, busy)
        delivery = lease.delivery
        if delivery.attempts >= self.policy.max_delivery_attempts:
            self._forget(delivery)
            return Outcome.DEAD
        delivery.due = now + max(retry_after, self.policy.backoff(delivery.attempts))
        heapq.heappush(self._due, (delivery.due, delivery.seq))
        return Outcome.RETRY

    def expire_leases(self, now: float) -> list[tuple[Lease, Outcome]]:
        """Pushes that nobody answered in time: already nacked here, to be broken off by the caller."""
        overdue = []
        while self._leases:
            lease = next(iter(self._leases.values()))
            if lease.deadline > now:
                break
            overdue.append((lease, self.nack(lease, now)))
        return overdue

    def drop_old(self, now: float) -> list[Delivery]:
        """What is older than the retention. Publish times grow with seq, so only the front has to be looked at; a
        leased one blocks it until answered."""
        dropped = []
        for delivery in self._held.values():
            too_young = now < delivery.message.publish_time + self.policy.retention
            if too_young or delivery.seq in self._leases:
                break
            dropped.append(delivery)
        for delivery in dropped:
            self._forget(delivery)
        return dropped

    def next_time(self) -> float | None:
        """When `expire_leases` or `lease` may next have something to do, if nothing else happens before."""
        times = [lease.deadline for lease in islice(self._leases.values(), 1)]
        if (self._ready or self._due) and len(self._leases) < int(self.window.size):
            due = 0.0 if self._ready else self._due[0][0]
            times.append(max(due, self.window.paused_until))
        return min(times, default=None)

    # -- about

    @property
    def backlog(self) -> int:
        """Everything that is not acknowledged, in memory or not."""
        return len(self._held) + self.beyond

    @property
    def outstanding(self) -> int:
        return len(self._leases)

    @property
    def held(self) -> Iterable[Delivery]:
        return self._held.values()

    @property
    def oldest_publish_time(self) -> float | None:
        return next((delivery.message.publish_time for delivery in self._held.values()), None)

    # -- inside

    def _full(self) -> bool:
        return len(self._held) >= self.policy.page or self._bytes >= self.policy.page_bytes

    def _make_ready(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, seq = heapq.heappop(self._due)
            if seq in self._held:
                self._ready.add(self._held[seq].user, seq)

    def _hold(self, delivery: Delivery) -> None:
        self.through = max(self.through, delivery.seq)
        self._held[delivery.seq] = delivery
        self._bytes += len(delivery.message.data)
        heapq.heappush(self._due, (delivery.due, delivery.seq))

    def _forget(self, delivery: Delivery) -> None:
        del self._held[delivery.seq]
        self._bytes -= len(delivery.message.data)

    def _end(self, lease: Lease) -> bool:
        if self._leases.get(lease.delivery.seq) is not lease:
            return False
        del self._leases[lease.delivery.seq]
        return True
