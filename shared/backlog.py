"""What may wait on the queue and how long: the audit's decisions about messages. Pure.

A queue delivers at least once, and whoever dies takes no message along. So all of this is legal: two messages for one
photo; a message for a photo that ended a moment ago; one that waits behind thousands, or that an instance was killed
with. What is not:

missing      a photo that nobody works on, and no message that would bring it to anybody
unexpected   a message for a prediction that does not exist, or that ended long ago while nothing else was to be done
stuck        a message that has waited for longer than the work before it may take

Ages end at `as_of`, when the messages were looked at, and begin no earlier than `since`: a queue that does not run
delivers nothing. Documents are read after the messages: what was taken in between is then seen as taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from shared.accept import TOPIC
from shared.pipeline import Pipeline, Subscription
from shared.ports import Figures, Messages, Waiting
from shared.prediction import Lane, Prediction, State
from shared.settings import Settings
from shared.settle import patience

UPLOADS = "uploads"
_GRACE = 2.0  # leases and sweeps: what is younger may still be on its way
_EVER = datetime.min.replace(tzinfo=UTC)

Kind = Literal["missing", "unexpected", "stuck"]
Finding = tuple[Kind, str]  # a list of the report, a line for it


def grace(settings: Settings) -> timedelta:
    return timedelta(seconds=_GRACE * (settings.lease_seconds + settings.sweep_seconds))


@dataclass(frozen=True, slots=True)
class History:
    """What the documents say. `changed`: prediction → when it was last written."""

    predictions: Sequence[Prediction]
    changed: Mapping[str, datetime]


class Limits:
    """How long messages may wait, by subscription."""

    def __init__(self, settings: Settings, table: Pipeline, predictions: Sequence[Prediction]) -> None:
        self.grace = grace(settings)
        self.republished = patience(settings) + self.grace
        profile = table.timings["gcp" if settings.profile == "gcp" else "local"]
        self._timings = replace(profile, ack_deadline=settings.ack_deadline_seconds)
        self._rows = table.subscriptions
        self._lanes = _promised(settings, predictions)

    def next_push(self, subscription: str) -> timedelta:
        """When a message that is due has surely been pushed again: after one push that nobody answered, and the
        longest pause."""
        row = self._rows.get(subscription)
        ack = row.ack_seconds(self._timings) if row else self._timings.ack_deadline
        return self.grace + timedelta(seconds=ack + self._timings.retry_max)

    def longest(self, subscription: str) -> timedelta:
        """When all that was there before has met its deadline, too; ticks and dead letters wait behind nothing."""
        row = self._rows.get(subscription)
        return self.next_push(subscription) + (self._work(row) if row else timedelta())

    def _work(self, row: Subscription) -> timedelta:
        if row.topic == UPLOADS:
            return self._lanes[Lane.INTERACTIVE]
        lanes = [self._lanes[lane] for lane in Lane if row.topic == TOPIC and _passes(row, lane)]
        return max(lanes, default=timedelta())


def judged(seen: Messages | Figures, history: History, limits: Limits, table: Pipeline) -> Iterator[Finding]:
    if isinstance(seen, Messages):
        yield from _by_message(seen, history, limits)
    else:
        yield from _by_figures(seen, history, limits, table)


def expected(table: Pipeline) -> set[str]:
    """The subscriptions that there are on Google Cloud: those of topics that nobody reads are called `…-parked`."""
    read = {row.topic for row in table.subscriptions.values()}
    return {*table.subscriptions, *(f"{topic}-parked" for topic in table.topics if topic not in read)}


# -- one by one


def _by_message(seen: Messages, history: History, limits: Limits) -> Iterator[Finding]:
    known = _Known(history)
    busy = {one.subscription for one in seen.waiting if _is_work(one, known)}
    for one in seen.waiting:
        yield from _judge(one, seen, known, limits, one.subscription in busy)
    called_for = {id(prediction) for one in seen.waiting if (prediction := known.of(one)) is not None}
    for prediction in history.predictions:
        if id(prediction) not in called_for and _is_due(prediction, seen.as_of, seen.since, limits):
            yield "missing", f"{_named(prediction)}: no message for it waits anywhere"


class _Known:
    """Finds a message's prediction: by its id, or by the upload that a notification tells of."""

    def __init__(self, history: History) -> None:
        self.changed = history.changed
        self._by_id = {one.id: one for one in history.predictions}
        self._by_upload = {(one.bucket, one.object, str(one.generation)): one for one in history.predictions}

    def of(self, message: Waiting) -> Prediction | None:
        given = message.attributes
        if "predictionId" in given:
            return self._by_id.get(given["predictionId"])
        upload = (given.get("bucketId", ""), given.get("objectId", ""), given.get("objectGeneration", ""))
        return self._by_upload.get(upload)


def _is_work(message: Waiting, known: _Known) -> bool:
    """May others have to wait for it? Not if it only has to be acknowledged."""
    prediction = known.of(message)
    return "predictionId" not in message.attributes if prediction is None else not prediction.state.terminal


def _judge(message: Waiting, seen: Messages, known: _Known, limits: Limits, busy: bool) -> Iterator[Finding]:
    age, next_push = seen.as_of - max(message.publish_time, seen.since), limits.next_push(message.subscription)
    if age <= next_push:
        return
    too_long = age > limits.longest(message.subscription)
    prediction = known.of(message)
    line = f"message {message.id} of {message.subscription}"
    if prediction is None and "predictionId" in message.attributes:
        yield "unexpected", f"{line}: there is no prediction {message.attributes['predictionId']!r}"
    elif prediction is not None and _ended_before(prediction, seen.as_of - next_push, known):
        if too_long or not busy:
            yield "unexpected", f"{line}: {_named(prediction)} ended long ago"
    elif too_long:
        about = f" for {_named(prediction)}" if prediction else ""
        yield "stuck", f"{line}{about}: waits since {message.publish_time.isoformat(timespec='seconds')}"


def _ended_before(prediction: Prediction, then: datetime, known: _Known) -> bool:
    """What ended was not written later than its last change."""
    return prediction.state.terminal and known.changed.get(prediction.id, then) < then


def _is_due(prediction: Prediction, as_of: datetime, since: datetime, limits: Limits) -> bool:
    """Nobody works on it, and settle has had the time to publish it again. Past its deadline it needs no message."""
    lease = prediction.lease_expire_time
    if prediction.state is State.RUNNING and lease is not None:
        free_since = max(lease, prediction.publish_time or lease)
    elif prediction.state is State.QUEUED:
        free_since = prediction.publish_time or prediction.create_time
    else:
        return False
    return as_of - max(free_since, since) > limits.republished and as_of < prediction.deadline


# -- by numbers


def _by_figures(seen: Figures, history: History, limits: Limits, table: Pipeline) -> Iterator[Finding]:
    for name, figure in seen.subscriptions.items():
        if name in expected(table) and figure.most and figure.oldest > limits.longest(name):
            oldest = (seen.as_of - figure.oldest).isoformat(timespec="seconds")
            yield "stuck", f"{name}: {figure.most} messages, the oldest waits since {oldest}"
    empty = {name for name, figure in seen.subscriptions.items() if not figure.most}
    for prediction in history.predictions:
        if _is_due(prediction, seen.as_of, _EVER, limits) and _carriers(prediction, table) <= empty:
            yield "missing", f"{_named(prediction)}: no message waits where one for it would be"


def _carriers(prediction: Prediction, table: Pipeline) -> set[str]:
    """The subscriptions where a message that leads to it may be: its own, the uploads', and their dead letters'."""
    rows = table.subscriptions.values()
    dead = {row.dead_letter for row in rows if row.topic in (TOPIC, UPLOADS)}
    own = {r.name for r in rows if r.topic == TOPIC and _passes(r, prediction.arm) and _passes(r, prediction.lane)}
    return own | {row.name for row in rows if row.topic == UPLOADS or row.topic in dead}


def _passes(row: Subscription, value: str) -> bool:
    """Of pipeline.yaml's filters, which all ask attributes for one value."""
    return not row.filter or f'"{value}"' in row.filter


def _promised(settings: Settings, predictions: Sequence[Prediction]) -> Mapping[Lane, timedelta]:
    """The longest deadline of each lane: the settings', or longer ones that photos were given under others."""
    longest = {
        Lane.INTERACTIVE: timedelta(seconds=settings.deadline_seconds),
        Lane.BULK: timedelta(seconds=settings.bulk_deadline_seconds),
    }
    for one in predictions:
        longest[one.lane] = max(longest[one.lane], one.deadline - one.create_time)
    return longest


def _named(prediction: Prediction) -> str:
    return f"{prediction.id} {prediction.state.value}"
