"""Accept uploads: find or make each one's prediction, look at the photo's header, put it on the queue.

Deliveries repeat and race, and a process may die between any two steps. What makes that harmless: the prediction of a
generation is found again (its id is the announced one, or a hash of the generation), and whatever is QUEUED when an
event comes back is published again; the claim protocol drops the copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from shared import cache, ids, quotas
from shared.errors import AlreadyExists, NotFound, OverQuota, Rejected
from shared.events import SegmentRequested, Uploaded
from shared.logs import Log
from shared.outcomes import at_once, each, together
from shared.ports import ObjectInfo
from shared.prediction import Phase, Prediction, Reason, State
from shared.probe import Header, probe
from shared.runtime import Runtime
from shared.settings import Settings

_GONE = "The photo was deleted before it could be read."
TOPIC = "segment"


@dataclass(frozen=True, slots=True)
class _Decided:
    """What an upload's prediction is to say; `new`: it does not say so yet."""

    prediction: Prediction
    new: bool


def accept(runtime: Runtime, event: Uploaded, log: Log) -> None:
    """Raises `Retryable` for passing faults: the event must then come again."""
    (failed,) = accept_all(runtime, log, [event])
    if failed is not None:
        raise failed


def accept_all(runtime: Runtime, log: Log, events: Sequence[Uploaded]) -> list[Exception | None]:
    """Each event's error, if it has one: that event must come again, whatever became of the others.

    Step by step for all of them, so that they share what is dear. No photo is looked at while the store is locked, and
    nothing is published before its record is durable. Copies of an event are one.
    """
    distinct = list(dict.fromkeys(events))
    failed = dict(zip(distinct, _accepted(runtime, log, distinct), strict=True))
    return [failed[event] for event in events]


def _accepted(runtime: Runtime, log: Log, events: Sequence[Uploaded]) -> list[Exception | None]:
    decided = each(partial(_decide, runtime, log), events)
    recorded = _record_all(runtime, decided)
    for before, after in zip(decided, recorded, strict=True):
        if isinstance(before, _Decided) and before.new and isinstance(after, Prediction):
            log(after.state.value.lower(), prediction_id=after.id, trace=after.trace, **after.error)
    published = _publish_all(runtime, recorded)
    return [outcome if isinstance(outcome, Exception) else None for outcome in published]


def _decide(runtime: Runtime, log: Log, event: Uploaded) -> _Decided | None:
    """None: there is nothing to record or to publish."""
    if event.bucket != runtime.settings.uploads_bucket:
        log.warning("ignored", bucket=event.bucket, message="not the uploads bucket")
        return None
    prediction = _announced(runtime, event) or _copied(runtime, event)
    if prediction.deleted:  # its photo arrived after its owner had it deleted: nobody could see or delete it later
        runtime.objects.delete(event.bucket, event.object, event.generation)
        return None
    if prediction.state is not State.AWAITING_UPLOAD:
        return _Decided(prediction, new=False)
    return _Decided(_inspected(runtime, event, prediction), new=True)


def _record_all(
    runtime: Runtime, decided: Sequence[_Decided | Exception | None]
) -> list[Prediction | Exception | None]:
    """What the store says of each, durably."""
    anything = any(isinstance(one, _Decided) and one.new for one in decided)
    block = runtime.together.documents if runtime.together and anything else nullcontext
    return together(block, partial(_record, runtime), decided)


def _publish_all(runtime: Runtime, recorded: Sequence[Prediction | Exception | None]) -> list[object]:
    """All that are QUEUED, by one request. Who could not be published has failed."""
    queued = [one for one in recorded if isinstance(one, Prediction) and one.state is State.QUEUED]
    messages = [requested(prediction).to_message() for prediction in queued]
    sent = iter(at_once(partial(runtime.topics.publish_all, TOPIC), messages))
    return [next(sent) if isinstance(one, Prediction) and one.state is State.QUEUED else one for one in recorded]


def publish(runtime: Runtime, prediction: Prediction) -> None:
    """Put it on the queue. Repeating it is harmless."""
    runtime.topics.publish(TOPIC, *requested(prediction).to_message())


def requested(prediction: Prediction) -> SegmentRequested:
    """What the queue holds for it."""
    return SegmentRequested(
        prediction.id,
        prediction.bucket,
        prediction.object,
        prediction.generation,
        prediction.arm,
        prediction.lane.value,
        prediction.deadline,
        prediction.trace,
        ids.user_digest(prediction.owner_uid),
    )


def _announced(runtime: Runtime, event: Uploaded) -> Prediction | None:
    """The prediction that the API announced for this very object, if the event is its first generation."""
    prediction_id = ids.announced_id(event.object)
    snapshot = runtime.store.get(prediction_id) if prediction_id else None
    if snapshot is None or snapshot.prediction.object != event.object:
        return None
    known = snapshot.prediction.generation
    return snapshot.prediction if known in (0, event.generation) else None


def _copied(runtime: Runtime, event: Uploaded) -> Prediction:
    """The prediction of a file that somebody copied into the bucket: the stored one, or a draft not yet stored."""
    prediction_id = ids.prediction_id_of(event.bucket, event.object, event.generation)
    snapshot = runtime.store.get(prediction_id)
    return snapshot.prediction if snapshot else _draft(prediction_id, event, runtime.settings)


def _draft(prediction_id: str, event: Uploaded, settings: Settings) -> Prediction:
    now = datetime.now(UTC)
    return Prediction(
        id=prediction_id,
        owner_uid=ids.owner_of(event.object),
        state=State.AWAITING_UPLOAD,
        phase=Phase.WAITING_FOR_UPLOAD,
        bucket=event.bucket,
        object=event.object,
        create_time=now,
        deadline=now + timedelta(seconds=settings.deadline_seconds),
        expire_time=now + timedelta(seconds=settings.retention_seconds),
    )


def _inspected(runtime: Runtime, event: Uploaded, prediction: Prediction) -> Prediction:
    """Decided by the header alone: QUEUED or REJECTED, or SUCCEEDED if the cache has the answer."""
    prediction = replace(prediction, generation=event.generation)
    try:
        info = runtime.objects.stat(event.bucket, event.object, event.generation)
        header = probe(_reader(runtime, info), info.size)
        _charge(runtime, prediction, info)
    except NotFound:
        return prediction.failed(Reason.SOURCE_MISSING, _GONE)
    except Rejected as rejection:
        reason = Reason(rejection.reason)
        return prediction.failed(reason, str(rejection), State.REJECTED)
    except OverQuota as refusal:
        return prediction.failed(Reason.QUOTA_EXCEEDED, str(refusal), State.REJECTED)
    return cache.answer(runtime, prediction, info) or _queued(prediction, info, header)


def _charge(runtime: Runtime, prediction: Prediction, info: ObjectInfo) -> None:
    """A file that somebody copied into the bucket counts towards its user's day; what was announced is paid for, and
    the operator has no limits. Raises `OverQuota`."""
    if prediction.owner_uid != ids.OPERATOR and ids.announced_id(prediction.object) != prediction.id:
        charge = quotas.Charge(prediction.id, info.size, announced=False)
        quotas.charge(runtime, prediction.owner_uid, charge)


def _queued(prediction: Prediction, info: ObjectInfo, header: Header) -> Prediction:
    return prediction.moved(State.QUEUED, Phase.QUEUED, input=_input(info, header), publish_time=datetime.now(UTC))


def _reader(runtime: Runtime, info: ObjectInfo) -> Any:
    return lambda start, stop: runtime.objects.get(info.bucket, info.name, info.generation, (start, stop))


def _input(info: ObjectInfo, header: Header) -> dict[str, Any]:
    return {
        "contentType": header.content_type,
        "width": header.width,
        "height": header.height,
        "sizeBytes": info.size,
        "crc32c": info.crc32c,
        "md5": info.md5,
    }


def _record(runtime: Runtime, decided: _Decided | None) -> Prediction | None:
    if decided is None:
        return None
    if not decided.new:
        return decided.prediction
    return _stored(runtime, decided.prediction)


def _stored(runtime: Runtime, decided: Prediction) -> Prediction:
    """Store the decision, unless somebody decided before: then what they wrote counts."""
    if ids.announced_id(decided.object) != decided.id:
        try:
            runtime.store.create(decided)
        except AlreadyExists:
            pass
        else:
            return decided
    return runtime.store.update(decided.id, lambda stored, _: _merged(stored, decided)) or decided


def _merged(stored: Prediction, decided: Prediction) -> Prediction | None:
    """The decision on top of what the API announced: owner, lane, arm and times stay as announced."""
    if stored.state is not State.AWAITING_UPLOAD:
        return None
    return replace(
        stored,
        state=decided.state,
        phase=decided.phase,
        generation=decided.generation,
        input=decided.input,
        model=decided.model,
        result=decided.result,
        timings=decided.timings,
        cache=decided.cache,
        error=decided.error,
        publish_time=decided.publish_time,
    )
