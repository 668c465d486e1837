"""Settle: what the tick and the dead letters repair. Every step is bounded and may be repeated at any time.

RUNNING, lease over                    → published again, FAILED/POISON or EXPIRED
QUEUED, published long ago             → published again
unfinished, deadline over              → EXPIRED
object without a prediction            → accepted
record past its expireTime             → deleted with its objects
mask that no prediction points to      → deleted
quota that nobody used for days        → deleted
dead letter                            → accepted or published again
the queue was lost                     → everything unfinished is published again
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared import quotas, tidy
from shared.accept import accept, publish
from shared.delivery import EXPIRED_MESSAGE, POISON_MESSAGE
from shared.envelope import Push
from shared.errors import Malformed
from shared.events import FINALIZED, SegmentRequested, Uploaded
from shared.logs import Log
from shared.ports import Where
from shared.prediction import COLLECTION, UNFINISHED, Prediction, Reason, State, from_data
from shared.runtime import Runtime
from shared.settings import Settings

PAGE = 200  # documents per step and tick
_REPUBLISH = 120.0  # s after which a message that nobody took is published again


def settle(runtime: Runtime, push: Push, log: Log) -> None:
    """One delivery: a dead letter or a tick, told apart by their attributes."""
    try:
        if "schemaVersion" in push.attributes:
            _requeue(runtime, SegmentRequested.from_message(push.data, push.attributes), log)
        elif push.attributes.get("eventType") == FINALIZED:
            accept(runtime, Uploaded.from_message(push.data, push.attributes), log)
        else:
            sweep(runtime, log, queue_lost=push.attributes.get("queueLost") == "true")
    except Malformed as error:
        log.error("malformed", message=str(error))


def sweep(runtime: Runtime, log: Log, queue_lost: bool = False, now: datetime | None = None) -> None:
    """One tick. The steps do not depend on each other's order."""
    now = now or datetime.now(UTC)
    if queue_lost:
        _publish_everything(runtime, log)
    _end_overdue(runtime, now, log)
    _free_leases(runtime, now, log)
    _publish_forgotten(runtime, now, log)
    tidy.accept_strays(runtime, now, log)
    tidy.delete_expired(runtime, now, log)
    tidy.delete_orphans(runtime, now, log)
    if runtime.settings.quotas:
        quotas.forget(runtime, now)


def decide_freed(prediction: Prediction, now: datetime, settings: Settings) -> Prediction | None:
    """What becomes of a RUNNING prediction whose lease is over; None: nothing to do."""
    lease = prediction.lease_expire_time
    if prediction.state is not State.RUNNING or lease is None or now < lease:
        return None
    if now >= prediction.deadline:
        return _expired(prediction)
    if prediction.charged_claims >= settings.max_claims:
        return prediction.failed(Reason.POISON, POISON_MESSAGE)
    published = prediction.publish_time
    if published is not None and published >= lease and now < published + patience(settings):
        return None  # published since the lease ended: on its way
    return replace(prediction, publish_time=now)


def decide_overdue(prediction: Prediction, now: datetime) -> Prediction | None:
    """EXPIRED once the deadline is over, but never under a live lease: its holder may be about to commit."""
    lease = prediction.lease_expire_time
    live = prediction.state is State.RUNNING and lease is not None and now < lease
    if prediction.state.terminal or now < prediction.deadline or live:
        return None
    return _expired(prediction)


def decide_forgotten(prediction: Prediction, now: datetime, settings: Settings) -> Prediction | None:
    published = prediction.publish_time
    waits = published is not None and now < published + patience(settings)
    return None if prediction.state is not State.QUEUED or waits else replace(prediction, publish_time=now)


def _expired(prediction: Prediction) -> Prediction:
    return prediction.failed(Reason.DEADLINE_EXCEEDED, EXPIRED_MESSAGE, State.EXPIRED)


def patience(settings: Settings) -> timedelta:
    """How long a message that was published may be on its way before it is published again."""
    return timedelta(seconds=max(_REPUBLISH, settings.ack_deadline_seconds, 2 * settings.sweep_seconds))


def _end_overdue(runtime: Runtime, now: datetime, log: Log) -> None:
    for state in UNFINISHED:
        for found in _where(runtime, ("state", "==", state.value), ("deadline", "<=", now)):
            ended = runtime.store.update(found.id, decide_overdue)
            if ended is not None and ended.state is State.EXPIRED:
                log("expired", prediction_id=found.id, trace=found.trace)


def _free_leases(runtime: Runtime, now: datetime, log: Log) -> None:
    over: tuple[Where, Where] = ("state", "==", State.RUNNING.value), ("leaseExpireTime", "<=", now)
    for found in _every(runtime, "leaseExpireTime", *over):  # those on their way stay in front: a page is not enough
        _settle_one(runtime, found, log, "freed", lambda p, at: decide_freed(p, at, runtime.settings))


def _publish_forgotten(runtime: Runtime, now: datetime, log: Log) -> None:
    before = now - patience(runtime.settings)
    for found in _where(runtime, ("state", "==", State.QUEUED.value), ("publishTime", "<=", before)):
        _settle_one(runtime, found, log, "republished", lambda p, at: decide_forgotten(p, at, runtime.settings))


def _settle_one(runtime: Runtime, found: Prediction, log: Log, action: str, decide: tidy.Decide) -> None:
    """Apply `decide`; if the result is still unfinished, it goes back on the queue."""
    changed = False

    def step(prediction: Prediction, at: datetime) -> Prediction | None:
        nonlocal changed
        decided = decide(prediction, at)
        changed = decided is not None
        return decided

    settled = runtime.store.update(found.id, step)
    if settled is None or not changed:
        return
    log(action, prediction_id=found.id, state=settled.state.value, claims=settled.claims, trace=found.trace)
    if not settled.state.terminal:
        publish(runtime, settled)


def _requeue(runtime: Runtime, request: SegmentRequested, log: Log) -> None:
    """A dead letter of the queue: as long as the photo may still be tried, it goes back. Its deadline ends this."""
    snapshot = runtime.store.get(request.prediction_id)
    if snapshot is None or snapshot.prediction.state.terminal:
        return
    log.warning("requeued", prediction_id=request.prediction_id, trace=request.trace)
    publish(runtime, snapshot.prediction)


def _publish_everything(runtime: Runtime, log: Log) -> None:
    """The queue's memory is gone: every unfinished photo gets a new message. Copies do no harm."""
    count = 0
    for state in (State.QUEUED, State.RUNNING):
        for prediction in _every(runtime, "deadline", ("state", "==", state.value)):
            publish(runtime, prediction)
            count += 1
    log.warning("queue_lost", published=count)


def _where(runtime: Runtime, *where: Where) -> list[Prediction]:
    """The first page, longest overdue first: the rest waits for the next tick."""
    field = where[-1][0]
    found = runtime.documents.query(COLLECTION, where, order_by=[(field, "asc")], limit=PAGE)
    return [from_data(document.data) for document in found]


def _every(runtime: Runtime, field: str, *where: Where) -> Iterator[Prediction]:
    """All of them, a page at a time, in the order of a field that nobody changes on the way."""
    after = None
    while True:
        page = runtime.documents.query(COLLECTION, where, [(field, "asc")], PAGE, after)
        yield from (from_data(document.data) for document in page)
        if len(page) < PAGE:
            return
        after = (page[-1].data[field], page[-1].id)
