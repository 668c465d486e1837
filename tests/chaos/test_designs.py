"""The shortest traces that a model checker found against shorter protocols (ADR 0001), each against its broken twin,
which it must break, and against the real code, which it must not.

M: an end changed. C: no bytes of the recorded model behind a result. L: lost. N: failed without being at fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from shared.prediction import Prediction, State
from tests.chaos import designs
from tests.chaos.designs import AsBuilt
from tests.domain import Worker, World, world


class Trace(Protocol):
    """Some steps; the photo to look at afterwards."""

    __name__: str

    def __call__(self, design: AsBuilt) -> Prediction: ...


@pytest.fixture
def domain(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def deliver_crash(design: AsBuilt) -> Prediction:
    photo = design.photo()
    design.deliver(photo)
    design.world.wait_for_lease()
    return photo


def commit_crash(design: AsBuilt) -> Prediction:
    photo = design.photo()
    worker = expect(design.deliver(photo))
    design.put(worker)
    design.commit(worker)
    return photo


def two_commits(design: AsBuilt) -> Prediction:
    photo = design.photo()
    for version in "AB":
        worker = design.deliver(photo, version)
        if worker is not None:
            design.put(worker)
            design.commit(worker)
    return photo


def slow_commit_quick_put(design: AsBuilt) -> Prediction:
    photo = design.photo()
    slow = expect(design.deliver(photo, "A"))
    design.put(slow)
    design.deliver(photo, "B")
    design.world.wait_for_lease()
    quick = expect(design.deliver(photo, "B"))
    design.commit(slow)
    design.put(quick)
    return photo


def old_bytes_over_new(design: AsBuilt) -> Prediction:
    photo = design.photo()
    slow = expect(design.deliver(photo, "A"))
    design.deliver(photo, "B")
    design.world.wait_for_lease()
    quick = expect(design.deliver(photo, "B"))
    design.put(quick)
    design.put(slow)
    design.commit(quick)
    return photo


def dead_letter_after_the_end(design: AsBuilt) -> Prediction:
    photo = design.photo()
    worker = expect(design.deliver(photo))
    design.put(worker)
    design.commit(worker)  # and dies before the ack
    design.give_up(photo)
    return photo


def dead_letter_under_a_lease(design: AsBuilt) -> Prediction:
    photo = design.photo()
    design.deliver(photo)
    design.deliver(photo)
    design.give_up(photo)
    return photo


def refused_while_it_was_cold(design: AsBuilt) -> Prediction:
    photo = design.photo()
    design.give_up(photo)  # every attempt was a 429: nobody ever claimed it
    return photo


def busy_then_crash(design: AsBuilt) -> Prediction:
    photo = design.photo()
    design.deliver(photo)  # and dies
    design.deliver(photo)
    design.world.wait_for_lease()
    return photo


def cancelled_while_it_ran(design: AsBuilt) -> Prediction:
    photo = design.photo()
    worker = expect(design.deliver(photo))
    design.put(worker)
    design.world.runtime.store.update(photo.id, lambda stored, _: stored.ended(State.CANCELLED))
    design.look()
    design.commit(worker)
    return photo


def beside_a_killer(design: AsBuilt) -> Prediction:
    """Two photos in one process; one of them kills it. The other one must not be blamed."""
    killer, photo = design.photo("users/ana/killer.png"), design.photo()
    for _ in range(design.world.settings.max_claims + 1):
        design.deliver(killer, alone=False)
        design.deliver(photo, alone=False)
        design.world.wait_for_lease()
    return photo


def expect(worker: Worker | None) -> Worker:
    assert worker is not None
    return worker


CASES: list[tuple[Trace, type[AsBuilt], str]] = [
    (deliver_crash, designs.AckOnReceipt, "L"),
    (commit_crash, designs.DocumentFirst, "C"),
    (two_commits, designs.NoClaim, "M"),
    (slow_commit_quick_put, designs.NoFence, "C"),
    (old_bytes_over_new, designs.SharedPath, "C"),
    (dead_letter_after_the_end, designs.BlindDeadLetters, "M"),
    (dead_letter_under_a_lease, designs.BlindDeadLetters, "N"),
    (refused_while_it_was_cold, designs.BlindDeadLetters, "N"),
    (busy_then_crash, designs.BusyIsAcked, "L"),
    (dead_letter_under_a_lease, designs.NobodyReadsDeadLetters, "L"),
    (cancelled_while_it_ran, designs.EndsChange, "M"),
    (beside_a_killer, designs.LastChanceInCompany, "N"),
]


@pytest.mark.parametrize(("trace", "twin", "broken"), CASES, ids=lambda one: getattr(one, "__name__", one))
def test_the_trace_breaks_the_shorter_design(domain: World, trace: Trace, twin: type[AsBuilt], broken: str) -> None:
    design = twin(domain)
    assert broken in design.broken(trace(design))


@pytest.mark.parametrize(
    "trace", {trace.__name__: trace for trace, _, _ in CASES}.values(), ids=lambda one: one.__name__
)
def test_the_trace_does_not_break_what_was_built(domain: World, trace: Trace) -> None:
    design = AsBuilt(domain)
    photo = trace(design)
    assert design.broken(photo) == set()
