"""The scaler's rules: never beyond a limit, fullest first, nobody waits in vain or forever."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from local.scaler.fleet import FIRST_PAUSE, LONGEST_PAUSE, TURN, Down, Fleet, Instance, Limits, State
from shared.errors import Busy


def fleet(instances: int = 2, concurrency: int = 2, idle: float = 10.0, revisions: str = "a") -> Fleet[int]:
    return Fleet(revisions, Limits(instances, concurrency, idle))


def ready(one: Fleet[int], revision: str = "a", now: float = 0.0) -> Instance:
    """An instance that became ready for a push that has its answer already."""
    one.admit(revision, -1, now)
    [instance] = one.start(now)
    one.ready(instance, now)
    assert one.place() == [(-1, instance)]
    one.leave(instance, now)
    return instance


def wait(one: Fleet[int], *who: int, revision: str = "a", now: float = 0.0) -> None:
    for number in who:
        one.admit(revision, number, now)


def fail_to_start(one: Fleet[int], now: float) -> list[int]:
    [instance] = one.start(now)
    return one.gone(instance, now)


def test_the_first_push_starts_one_instance_that_takes_the_others_too() -> None:
    one = fleet(concurrency=3)
    wait(one, 1, 2, 3)
    assert one.place() == []
    [instance] = one.start(0)
    assert one.start(0) == []
    one.ready(instance, 1)
    assert one.place() == [(1, instance), (2, instance), (3, instance)]


def test_more_waiting_than_the_starting_ones_can_take_start_more_up_to_the_cap() -> None:
    one = fleet(instances=3)
    wait(one, *range(5))
    assert len(one.start(0)) == 3
    wait(one, 5)
    with pytest.raises(Busy):
        wait(one, 6)
    assert one.start(0) == []


def test_the_fullest_with_room_is_preferred() -> None:
    one = fleet(concurrency=3)
    wait(one, *range(4))
    first, second = one.start(0)
    for instance in (first, second):
        one.ready(instance, 0)
    one.place()
    assert (first.inside, second.inside) == (3, 1)
    one.leave(first, 1)
    wait(one, 5, now=1)
    assert one.place() == [(5, first)]


def test_an_instance_is_stopped_when_it_was_idle_long_enough() -> None:
    one = fleet(idle=10)
    instance = ready(one)
    wait(one, 1, now=9)
    one.place()
    assert one.stop(30) == []  # a push is inside
    one.leave(instance, 30)
    assert one.stop(39) == []
    assert one.stop(40) == [instance]
    assert one.stop(50) == []  # once is enough


def test_one_that_is_about_to_end_counts_until_it_has() -> None:
    one = fleet(instances=1)
    instance = ready(one)
    one.stop(10)
    wait(one, 1, now=10)
    assert (one.place(), one.start(10)) == ([], [])
    assert one.gone(instance, 11) == []
    assert len(one.start(11)) == 1


def test_a_failure_to_start_sends_those_away_who_wait_and_pauses_longer_each_time() -> None:
    one, now, pauses = fleet(), 0.0, []
    for number in range(7):
        wait(one, number, now=now)
        assert fail_to_start(one, now) == [number]
        pauses.append(one.pause("a", now))
        with pytest.raises(Down) as caught:
            wait(one, 99, now=now)
        assert caught.value.retry_after == pauses[-1]
        now += pauses[-1]
    assert pauses == [min(LONGEST_PAUSE, FIRST_PAUSE * 2**n) for n in range(7)]


def test_after_a_failure_one_instance_is_tried_at_a_time() -> None:
    one = fleet(instances=3, concurrency=1)
    wait(one, 1)
    fail_to_start(one, 0)
    wait(one, 1, 2, 3, now=1)
    assert len(one.start(1)) == 1


def test_a_success_ends_the_pauses() -> None:
    one = fleet()
    wait(one, 1)
    fail_to_start(one, 0)
    instance = ready(one, now=1)
    one.gone(instance, 1)
    wait(one, 2, now=1)
    assert len(one.start(1)) == 1


def test_who_can_still_be_served_is_not_sent_away_when_another_fails_to_start() -> None:
    one = fleet(concurrency=1)
    instance = ready(one)
    wait(one, 1, 2)
    one.place()
    assert fail_to_start(one, 0) == []
    one.leave(instance, 0)
    assert one.place() == [(2, instance)]


def test_one_in_doubt_gets_no_more_pushes_and_is_stopped_when_empty() -> None:
    one = fleet()
    instance = ready(one)
    wait(one, 1, 2)
    one.place()
    one.doubt(instance)
    one.leave(instance, 0)
    wait(one, 3)
    assert (one.place(), one.stop(0)) == ([], [])
    one.leave(instance, 0)
    assert one.stop(0) == [instance]


def test_at_the_cap_a_busy_revision_makes_room_for_one_without_an_instance_after_its_turn() -> None:
    one = fleet(instances=1, revisions="ab")
    instance = ready(one, "a")
    wait(one, 1)
    one.place()
    wait(one, 2, revision="b")
    one.stop(TURN - 1)
    assert one.count("a", State.READY) == 1
    one.stop(TURN)
    assert one.count("a", State.DRAINING) == 1
    wait(one, 3, now=TURN)
    one.leave(instance, TURN)
    assert one.stop(TURN) == [instance]
    one.gone(instance, TURN)
    assert [started.revision for started in one.start(TURN)] == ["b"]


def test_at_the_cap_a_revision_that_cannot_start_leaves_the_old_one_serving_longer_each_time() -> None:
    one = fleet(instances=1, idle=1000, revisions="ab")
    wait(one, 1, revision="b")
    now, turns = 0.0, []
    for _ in range(4):
        fail_to_start(one, now)
        wait(one, 2, now=now)
        [instance] = one.start(now)
        one.ready(instance, now)
        one.place()
        one.leave(instance, now)  # idle from now on
        began, now = now, now + LONGEST_PAUSE
        if not one.waiting("b"):
            wait(one, 3, revision="b", now=now)
        while not one.stop(now):
            now += 1
        turns.append(now - began)
        one.gone(instance, now)
    assert turns == sorted(turns)
    assert turns[-1] >= 8 * TURN


def test_nobody_comes_in_when_it_is_closed() -> None:
    one = fleet(concurrency=1)
    instance = ready(one)
    wait(one, 1, 2)
    one.place()
    assert one.close() == [2]
    assert instance.state is State.STOPPING
    assert (one.start(0), one.stop(99)) == ([], [])
    with pytest.raises(Down):
        wait(one, 3)


class Machine(RuleBasedStateMachine):
    """Any order of events; a driver that asks after each, as the scaler does."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(instances=2, concurrency=3, idle=4.0)
        self.fleet: Fleet[int] = Fleet("abc", self.limits)
        self.now = 0.0
        self.number = 0
        self.waiting: set[int] = set()

    def ask(self) -> None:
        for who, instance in self.fleet.place():
            assert instance.state is State.READY
            self.waiting.remove(who)
        self.fleet.start(self.now)
        for instance in self.fleet.stop(self.now):
            assert instance.inside == 0

    def pick(self, number: int, *states: State) -> Instance | None:
        choice = [one for one in self.fleet.instances if one.state in states]
        return choice[number % len(choice)] if choice else None

    @rule(revision=st.sampled_from("abc"))
    def push(self, revision: str) -> None:
        self.number += 1
        try:
            self.fleet.admit(revision, self.number, self.now)
        except (Busy, Down):
            return
        self.waiting.add(self.number)
        self.ask()

    @rule(number=st.integers(0, 9), seconds=st.floats(0, 12))
    def answer(self, number: int, seconds: float) -> None:
        self.now += seconds
        inside = [one for one in self.fleet.instances if one.inside]
        if inside:
            self.fleet.leave(inside[number % len(inside)], self.now)
        self.ask()

    @rule(number=st.integers(0, 9))
    def become_ready(self, number: int) -> None:
        if instance := self.pick(number, State.STARTING):
            self.fleet.ready(instance, self.now)
        self.ask()

    @rule(number=st.integers(0, 9))
    def die(self, number: int) -> None:
        if instance := self.pick(number, *State):
            instance.inside = 0  # its pushes break and leave first
            self.waiting -= set(self.fleet.gone(instance, self.now))
        self.ask()

    @rule(number=st.integers(0, 9))
    def doubt(self, number: int) -> None:
        if instance := self.pick(number, State.READY):
            self.fleet.doubt(instance)
        self.ask()

    @invariant()
    def no_limit_is_passed(self) -> None:
        assert len(self.fleet.instances) <= self.limits.instances
        assert all(0 <= one.inside <= self.limits.concurrency for one in self.fleet.instances)

    @invariant()
    def nobody_waits_beside_room(self) -> None:
        for revision in "abc":
            room = any(
                one.revision == revision and one.state is State.READY and one.inside < self.limits.concurrency
                for one in self.fleet.instances
            )
            assert not (room and self.fleet.waiting(revision))
        assert sum(self.fleet.waiting(revision) for revision in "abc") == len(self.waiting)

    def teardown(self) -> None:
        """From here on instances start, answer and end as they should: everybody is served, and all come to rest."""
        for _ in range(60):
            self.now += 1.0
            for one in list(self.fleet.instances):
                if one.state is State.STOPPING:
                    self.fleet.gone(one, self.now)
                elif one.state is State.STARTING:
                    self.fleet.ready(one, self.now)
                elif one.inside:
                    self.fleet.leave(one, self.now)
            self.ask()
        assert not self.waiting
        assert self.fleet.instances == []


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrder = Machine.TestCase
