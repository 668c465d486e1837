"""One subscription's deliveries against a model that a page of paper could hold, and the rules one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from local.broker.queue import Delivery, DeliveryQueue, Lease, Message, Outcome, Policy

POLICY = Policy(
    ack_deadline=10,
    retry_min=0.5,
    retry_max=4,
    max_delivery_attempts=5,
    max_outstanding=8,
    retention=1000,
    page=4,
    page_bytes=1 << 20,
)


def delivery(seq: int, due: float = 0.0, published: float = 0.0, data: bytes = b"x", user: str = "") -> Delivery:
    attributes = {"user": user} if user else {}
    return Delivery(seq, Message(str(seq), "segment", data, attributes, published), due=due)


def queue(*seqs: int, **changes: Any) -> DeliveryQueue:
    """With these deliveries in memory, all due at 0."""
    made = DeliveryQueue(replace(POLICY, **{"page": 1000} | changes))
    for seq in seqs:
        made.offer(delivery(seq))
    return made


def pushed(leases: list[Lease]) -> list[int]:
    return [lease.delivery.seq for lease in leases]


# -- the rules


def test_what_is_due_first_goes_first() -> None:
    full = queue()
    for seq, due in ((1, 3.0), (2, 1.0), (3, 2.0)):
        full.offer(delivery(seq, due))
    assert pushed(full.lease(0.5)) == []
    assert full.next_time() == 1.0
    assert pushed(full.lease(5.0)) == [2, 3, 1]


def test_one_photo_of_another_user_waits_for_what_is_out_and_for_one_more() -> None:
    full = queue(max_outstanding=4, page=5000)
    for seq in range(2000):
        full.offer(delivery(seq, user="ana"))
    out = full.lease(0.0)
    full.offer(delivery(2000, user="bob"))
    assert full.ack(out[0])
    assert full.ack(out[1])
    assert 2000 in pushed(full.lease(0.0))


def test_uploads_take_turns_by_their_users_folders() -> None:
    full = queue(max_outstanding=2)
    for seq in range(100):
        name = f"users/ana/{seq}.jpg" if seq < 99 else "users/bob/1.jpg"
        full.offer(Delivery(seq, Message(str(seq), "uploads", b"", {"objectId": name}, 0.0)))
    assert pushed(full.lease(0.0)) == [0, 99]


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6), st.integers(1, 8))
def test_users_take_turns_and_nobodys_own_order_changes(counts: list[int], window: int) -> None:
    full = queue(max_outstanding=window)
    whose = [str(user) for user, count in enumerate(counts) for _ in range(count)]
    for seq, user in enumerate(whose):
        full.offer(delivery(seq, user=user))
    got: list[int] = []
    while leases := full.lease(0.0):
        got += pushed(leases)
        assert all(full.ack(lease) for lease in leases)
    for name, count in enumerate(counts):
        places = [place for place, seq in enumerate(got) if whose[seq] == str(name)]
        assert [got[place] for place in places] == sorted(got[place] for place in places)
        assert len(places) == count
        for number, place in enumerate(places):  # before it: its own, and at most as many and one of each other user
            assert place <= sum(min(other, number + 1) for other in counts) - 1


def test_who_was_refused_joins_the_end_of_their_own_line_and_nobody_elses() -> None:
    full = queue(max_outstanding=2, retry_min=1)
    for seq, user in enumerate(["ana", "ana", "ana", "bob", "bob"]):
        full.offer(delivery(seq, user=user))
    first = full.lease(0.0)
    assert pushed(first) == [0, 3]
    for lease in first:
        full.nack(lease, 0.0, busy=True)
    (second,) = full.lease(0.0)  # the window is smaller now
    assert pushed([second]) == [1]
    assert full.ack(second)
    assert pushed(full.lease(5.0)) == [4, 2]


def test_no_more_is_out_than_the_window_has_room_for() -> None:
    full = queue(*range(20))
    first = full.lease(0.0)
    assert pushed(first) == [0, 1, 2, 3]
    assert full.lease(0.0) == []
    for lease in first:
        assert full.ack(lease)
    assert len(full.lease(0.0)) == 8  # slow start, up to what the policy allows
    assert full.outstanding == 8


def test_an_acknowledged_delivery_is_gone() -> None:
    one = queue(1)
    (lease,) = one.lease(0.0)
    assert one.ack(lease)
    assert not one.ack(lease)
    assert one.nack(lease, 0.0) is Outcome.STALE
    assert (one.backlog, one.lease(1e6)) == (0, [])


@given(st.integers(1, 200))
def test_the_pause_doubles_within_its_bounds(attempts: int) -> None:
    pause = POLICY.backoff(attempts)
    assert POLICY.retry_min <= pause <= POLICY.retry_max
    assert pause == min(POLICY.retry_max, POLICY.retry_min * 2.0 ** (attempts - 1))


def test_a_refused_delivery_comes_back_after_the_pause_or_later_if_asked() -> None:
    one = queue(1)
    (lease,) = one.lease(0.0)
    assert one.nack(lease, 1.0) is Outcome.RETRY
    assert one.lease(1.49) == []
    (lease,) = one.lease(1.5)
    assert lease.attempt == 2
    assert one.nack(lease, 2.0, retry_after=30, busy=True) is Outcome.RETRY
    assert one.lease(31.9) == []
    (lease,) = one.lease(32.0)
    assert one.nack(lease, 33.0, retry_after=0.1) is Outcome.RETRY
    assert one.lease(34.9) == []  # the wish is a lower bound
    assert pushed(one.lease(35.0)) == [1]


def test_the_last_attempt_is_the_end() -> None:
    one = queue(1, max_delivery_attempts=2)
    (lease,) = one.lease(0.0)
    assert one.nack(lease, 0.0) is Outcome.RETRY
    (lease,) = one.lease(10.0)
    assert one.nack(lease, 10.0) is Outcome.DEAD
    assert (one.backlog, one.lease(1e6)) == (0, [])


def test_a_push_that_nobody_answers_is_taken_back_at_its_deadline() -> None:
    one = queue(1)
    (lease,) = one.lease(0.0)
    assert one.next_time() == 10.0
    assert one.expire_leases(9.9) == []
    assert one.expire_leases(10.0) == [(lease, Outcome.RETRY)]
    assert not one.ack(lease)  # too late
    (again,) = one.lease(20.0)
    assert (again.attempt, one.ack(again)) == (2, True)


def test_what_is_older_than_the_retention_is_dropped_unless_it_is_out() -> None:
    full = queue()
    for seq, published in ((1, 0.0), (2, 5.0), (3, 500.0)):
        full.offer(delivery(seq, published=published))
    (first, *_) = full.lease(0.0)
    assert full.drop_old(1006.0) == []  # the oldest is being pushed
    assert full.nack(first, 10.0) is Outcome.RETRY
    full.expire_leases(1e6)
    assert [one.seq for one in full.drop_old(1006.0)] == [1, 2]
    assert pushed(full.lease(2e6)) == [3]


def test_memory_is_bounded_by_bytes_too() -> None:
    full = queue(page_bytes=10)
    for seq in range(4):
        full.offer(delivery(seq, data=b"12345"))
    assert (len(list(full.held)), full.beyond, full.backlog) == (2, 2, 4)
    assert full.page_after() is None  # no room yet
    for lease in full.lease(0.0):
        full.ack(lease)
    assert full.page_after() == 1
    full.loaded([delivery(2), delivery(3)])
    assert (full.beyond, pushed(full.lease(0.0))) == (0, [2, 3])


def test_a_page_that_comes_back_empty_means_that_nothing_is_left() -> None:
    full = queue()
    full.beyond = 3
    assert full.page_after() == 0
    assert full.page_after() is None  # one at a time
    full.loaded([])
    assert full.backlog == 0


# -- the model: a delivery is on disk until it is acked, dead or expired


class Deliveries(RuleBasedStateMachine):
    """`disk` is what the driver would have written; pages are loaded as the driver would load them."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = DeliveryQueue(POLICY)
        self.now = 0.0
        self.seq = 0
        self.disk: dict[int, float] = {}  # seq → publish time
        self.gone: set[int] = set()
        self.attempts: dict[int, int] = {}
        self.earliest: dict[int, float] = {}
        self.out: list[Lease] = []
        self.page: int | None = None

    @rule(count=st.integers(1, 6))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.seq += 1
            self.disk[self.seq] = self.now
            self.queue.offer(delivery(self.seq, self.now, self.now, user="ab"[self.seq % 2]))

    @rule()
    def ask_for_a_page(self) -> None:
        asked = self.queue.page_after()
        self.page = asked if asked is not None else self.page

    @precondition(lambda self: self.page is not None)
    @rule(limit=st.integers(1, 3))
    def load(self, limit: int) -> None:
        assert self.page is not None
        rows = sorted(seq for seq in self.disk if seq > self.page)[:limit]
        self.queue.loaded([delivery(seq, published=self.disk[seq]) for seq in rows])
        self.page = None

    @rule()
    def lease(self) -> None:
        leases = self.queue.lease(self.now)
        for lease in leases:
            seq = lease.delivery.seq
            assert seq in self.disk, "delivered after its end"
            assert seq not in {one.delivery.seq for one in self.out if one.deadline > self.now}
            assert self.now >= self.earliest.get(seq, 0.0), "delivered before its pause was over"
            self.attempts[seq] = self.attempts.get(seq, 0) + 1
            assert lease.attempt == self.attempts[seq] <= POLICY.max_delivery_attempts
        self.out += leases

    @precondition(lambda self: self.out)
    @rule(pick=st.integers(0, 7))
    def ack(self, pick: int) -> None:
        lease = self.out.pop(pick % len(self.out))
        if self.queue.ack(lease):
            self._end(lease)

    @precondition(lambda self: self.out)
    @rule(pick=st.integers(0, 7), retry_after=st.sampled_from([0.0, 1.0, 20.0]), busy=st.booleans())
    def nack(self, pick: int, retry_after: float, busy: bool) -> None:
        lease = self.out.pop(pick % len(self.out))
        outcome = self.queue.nack(lease, self.now, retry_after, busy)
        self._nacked(lease, outcome, retry_after)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 11.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for lease, outcome in self.queue.expire_leases(self.now):
            assert lease.deadline <= self.now
            self._nacked(lease, outcome, 0.0)
        for old in self.queue.drop_old(self.now):
            assert self.now >= self.disk.pop(old.seq) + POLICY.retention
            self.gone.add(old.seq)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.queue.backlog >= len(self.disk) if self.queue.beyond else self.queue.backlog == len(self.disk)
        assert {one.seq for one in self.queue.held} <= self.disk.keys()
        assert self.queue.outstanding <= POLICY.max_outstanding
        assert len(list(self.queue.held)) <= POLICY.page + 3

    def teardown(self) -> None:
        """A patient subscriber that accepts everything gets everything that is left."""
        for _ in range(2000):
            if not self.disk:
                break
            self.now += POLICY.ack_deadline
            self.queue.expire_leases(self.now)
            for lease in self.queue.lease(self.now):
                assert self.queue.ack(lease)
                self._end(lease)
            self.ask_for_a_page()
            if self.page is not None:
                self.load(3)
        assert not self.disk
        assert self.queue.lease(self.now + 1e6) == []

    def _end(self, lease: Lease) -> None:
        del self.disk[lease.delivery.seq]
        self.gone.add(lease.delivery.seq)

    def _nacked(self, lease: Lease, outcome: Outcome, retry_after: float) -> None:
        seq = lease.delivery.seq
        if outcome is Outcome.DEAD:
            assert self.attempts[seq] == POLICY.max_delivery_attempts
            self._end(lease)
        if outcome is Outcome.RETRY:
            self.earliest[seq] = self.now + max(retry_after, POLICY.backoff(lease.attempt))


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
