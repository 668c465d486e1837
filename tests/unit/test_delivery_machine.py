"""Explores the protocol: any order of uploads, deliveries, crashes, lost answers, late copies, dead letters, sweeps by
a wrong clock and deletions, for several photos and two models, over the real stores.

A crash is a worker that takes no further step; a zombie, one that takes it later.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.api.removal import remove
from shared.audit import audit
from shared.delivery import Verdict
from shared.errors import Conflict, Retryable
from shared.events import SegmentRequested, Uploaded
from shared.prediction import COLLECTION, Prediction, State, from_data
from tests.domain import PHOTO, Message, Worker, world

RANK = {State.AWAITING_UPLOAD: 0, State.QUEUED: 1, State.RUNNING: 2}  # every end: 3
pytestmark = pytest.mark.timeout(600)  # a failure is made small before it is told
T = TypeVar("T")
PICK = st.integers(0, 5)
NAMES = st.sampled_from(["users/ana/cat.png", "users/bob/dog.png", "inbox/fish.png"])
MOST_PHOTOS, MOST_CANCELLATIONS, MAX_CLAIMS = 4, 2, 5
FAIR_ROUNDS = 40
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # no disk: durability is not in question here


class Protocol(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        folder = self._open.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))
        self.world = self._open.enter_context(world(Path(folder), deadline_seconds=3000, max_claims=MAX_CLAIMS))
        self.events: list[Uploaded] = []  # notifications that are not acked
        self.workers: list[Worker] = []
        self.stored: list[Worker] = []
        self.acked: list[Message] = []  # a broker may push these again, whenever it likes
        self.cancelled = 0
        self.seen: dict[str, Prediction] = {}

    def teardown(self) -> None:
        try:
            self._to_the_end()
        finally:
            self._open.close()

    # -- uploads and their notifications

    @initialize(name=NAMES)
    def begin(self, name: str) -> None:
        event = self.world.upload(name)
        self.events.append(event)
        self.world.accept(event)

    @precondition(lambda self: len(self.seen) < MOST_PHOTOS)
    @rule(name=NAMES, good=st.booleans())
    def upload(self, name: str, good: bool) -> None:
        self.events.append(self.world.upload(name, PHOTO if good else b"not a photo"))

    @precondition(lambda self: self.events)
    @rule(pick=PICK, acked=st.booleans(), dead=st.booleans())
    def notify(self, pick: int, acked: bool, dead: bool) -> None:
        """To accept, or as a dead letter to settle."""
        event = self._take(self.events, pick, acked)
        if dead:
            self.world.bury_event(event)
        else:
            self.world.accept(event)

    @precondition(lambda self: self.events)
    @rule(pick=PICK, recorded=st.booleans())
    def notify_in_vain(self, pick: int, recorded: bool) -> None:
        """The notification gets lost; or the prediction is recorded, publishing fails, and it comes again."""
        event = self._take(self.events, pick, acked=not recorded)
        self.world.queue.down = True
        try:
            if recorded:
                self.world.accept(event)
        except Retryable:
            pass
        self.world.queue.down = False

    # -- deliveries

    @precondition(lambda self: self.world.queue.messages)
    @rule(
        pick=PICK,
        version=st.sampled_from("AB"),
        leases=st.sampled_from([0, 1.1, 1.1]),
        store=st.booleans(),
        alone=st.booleans(),
    )
    def deliver(self, pick: int, version: str, leases: float, store: bool, alone: bool) -> None:
        """The message stays on the queue until somebody acks it: any number of workers may get it."""
        self.wait(leases)
        worker = self._claim(pick, version, alone)
        if worker is not None:
            self.workers.append(worker)
            if store:
                self.store(len(self.workers) - 1)

    @precondition(lambda self: self.world.queue.messages)
    @rule(pick=PICK, repeated=st.booleans())
    def deliver_and_lose_the_claims_answer(self, pick: int, repeated: bool) -> None:
        """Nobody hears of the claim; or the adapter tries again, and meets its own first try."""
        self.world.documents.lost = Conflict("it has changed") if repeated else Retryable("no answer")
        try:
            self._claim(pick, "A", alone=True)
        except Retryable:
            pass
        self.world.documents.lost = None

    @precondition(lambda self: self.workers)
    @rule(pick=PICK)
    def store(self, pick: int) -> None:
        worker = self._take(self.workers, pick, acked=False)
        worker.store()
        self.stored.append(worker)

    @precondition(lambda self: self.stored)
    @rule(pick=PICK, answer_lost=st.booleans())
    def commit(self, pick: int, answer_lost: bool) -> None:
        worker = self._take(self.stored, pick, acked=True)
        before = self.world.get(worker.held.prediction.id)
        newest = before.fence == worker.held.fence
        self.world.documents.lost = Retryable("no answer") if answer_lost else None
        try:
            won = worker.commit()
        except Retryable:
            won = worker.commit()
        self.world.documents.lost = None
        assert won == (newest and before.state in (State.RUNNING, State.SUCCEEDED)), "an old fence committed"

    @precondition(lambda self: self.workers)
    @rule(pick=PICK, counted=st.booleans())
    def let_go(self, pick: int, counted: bool) -> None:
        worker = self._take(self.workers, pick, acked=False)
        if counted:
            worker.abandon()
        else:
            worker.give_back_and_publish()

    @precondition(lambda self: self.acked)
    @rule(pick=PICK)
    def deliver_what_was_acked(self, pick: int) -> None:
        self.world.queue.messages.append(self._take(self.acked, pick, acked=False))

    @precondition(lambda self: self.world.queue.messages)
    @rule(pick=PICK, how=st.sampled_from(["acked", "lost", "dead"]))
    def leave_the_queue(self, pick: int, how: str) -> None:
        message = self._take(self.world.queue.messages, pick, acked=True)
        if how == "dead":
            self.world.bury(message)
        elif how == "acked" and not self.world.get(message[2]["predictionId"]).state.terminal:
            self.world.queue.messages.append(message)  # the protocol answers 2xx for what has ended only
        elif how == "acked":
            self.acked.append(message)

    # -- people, time and settle

    @precondition(lambda self: self.cancelled < MOST_CANCELLATIONS)
    @rule(pick=PICK, gone=st.booleans())
    def cancel(self, pick: int, gone: bool) -> None:
        self.cancelled += 1
        names = [one.id for one in self._predictions()]
        name = names[pick % len(names)]
        if gone:
            remove(self.world.runtime, name)
        self.world.runtime.store.update(
            name, lambda stored, _: None if stored.state.terminal else stored.ended(State.CANCELLED)
        )

    @rule(leases=st.sampled_from([0.5, 1.1, 2.2]))
    def wait(self, leases: float) -> None:
        self.world.wait(leases * self.world.settings.lease_seconds)

    @rule(queue_lost=st.booleans(), skew=st.sampled_from([0.0, 0.0, -300.0, 300.0]))
    def sweep(self, queue_lost: bool, skew: float) -> None:
        self.world.sweep(queue_lost, skew)

    # -- what must always hold

    @invariant()
    def nothing_goes_back(self) -> None:
        for now in self._predictions():
            before = self.seen.get(now.id, now)
            assert RANK.get(before.state, 3) <= RANK.get(now.state, 3)
            assert before.fence <= now.fence
            assert 0 <= now.charged_claims <= MAX_CLAIMS
            if before.state.terminal:
                assert now.state is before.state, "a terminal state changed"
                assert now.deleted or (now.result, now.error) == (before.result, before.error)
            self.seen[now.id] = now

    @invariant()
    def what_succeeded_has_its_own_models_mask(self) -> None:
        for prediction in self._predictions():
            if prediction.state is State.SUCCEEDED and not prediction.deleted:
                result = prediction.result
                mask = self.world.objects.get(result["bucket"], result["object"], result["generation"])
                assert mask.decode() == prediction.model["version"]

    def _to_the_end(self) -> None:
        """Fair steps: every delivery is worked on, time passes, settle ticks. Then everything has ended, cleanly."""
        for _ in range(FAIR_ROUNDS):
            while self.events:
                self.world.accept(self.events.pop())
            self.world.sweep()
            self._work_off()
            self.world.wait_for_lease()
            self.nothing_goes_back()
            if not self.world.queue.messages and all(one.state.terminal for one in self._predictions()):
                break
        assert all(one.state.terminal for one in self._predictions())
        for _ in range(3):
            self.world.wait_for_lease()
            self.world.sweep()
        report = audit(self.world.runtime, self.world.now)
        assert report.clean, report
        self.what_succeeded_has_its_own_models_mask()

    def _work_off(self) -> None:
        for message in list(self.world.queue.messages):
            request = SegmentRequested.from_message(message[1], message[2])
            prediction = self.world.get(request.prediction_id)
            answer = self.world.claim(prediction, "A")
            if isinstance(answer, Worker):
                assert answer.finish()
            if isinstance(answer, Worker) or answer.verdict is not Verdict.BUSY:
                self.world.queue.messages.remove(message)

    def _claim(self, pick: int, version: str, alone: bool) -> Worker | None:
        request = self.world.queue.requests[pick % len(self.world.queue.messages)]
        before = self.world.get(request.prediction_id)
        answer = self.world.claim(before, version, alone)
        last = before.charged_claims == MAX_CLAIMS - 1
        assert alone or not (last and isinstance(answer, Worker)), "a last chance in company"
        return answer if isinstance(answer, Worker) else None

    def _predictions(self) -> list[Prediction]:
        """In the order of their creation: their ids differ from run to run."""
        return [from_data(row.data) for row in self.world.documents.query(COLLECTION, order_by=[("createTime", "asc")])]

    @staticmethod
    def _take(things: list[T], pick: int, acked: bool) -> T:
        place = pick % len(things)
        return things.pop(place) if acked else things[place]


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
