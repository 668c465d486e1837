"""Accept one upload: find or make its prediction, look at the photo's header, put it on the queue.

Deliveries repeat and race, and a process may die between any two steps. What makes that harmless: the prediction of a
generation is found again (its id is the announced one, or a hash of the generation), and whatever is QUEUED when an
event comes back is published again; the claim protocol drops the copy.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import cache, ids, quotas
from shared.errors import AlreadyExists, NotFound, OverQuota, Rejected
from shared.events import SegmentRequested, Uploaded
from shared.logs import Log
from shared.ports import ObjectInfo
from shared.prediction import Phase, Prediction, Reason, State
from shared.probe import Header, probe
from shared.runtime import Runtime
from shared.settings import Settings

_GONE = "The photo was deleted before it could be read."
TOPIC = "segment"


def accept(runtime: Runtime, event: Uploaded, log: Log) -> None:
    """Raises `Retryable` for passing faults: the event must then come again."""
    if event.bucket != runtime.settings.uploads_bucket:
        log.warning("ignored", bucket=event.bucket, message="not the uploads bucket")
        return
    prediction = _announced(runtime, event) or _copied(runtime, event)
    if prediction.deleted:  # its photo arrived after its owner had it deleted: nobody could see or delete it later
        runtime.objects.delete(event.bucket, event.object, event.generation)
        return
    if prediction.state is State.AWAITING_UPLOAD:
        prediction = _inspect(runtime, event, prediction)
        log(prediction.state.value.lower(), prediction_id=prediction.id, trace=prediction.trace, **prediction.error)
    if prediction.state is State.QUEUED:
        publish(runtime, prediction)


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


def _inspect(runtime: Runtime, event: Uploaded, prediction: Prediction) -> Prediction:
    """Decide by the header alone, and record it: QUEUED or REJECTED, or SUCCEEDED if the cache has the answer."""
    prediction = replace(prediction, generation=event.generation)
    try:
        info = runtime.objects.stat(event.bucket, event.object, event.generation)
        header = probe(_reader(runtime, info), info.size)
        _charge(runtime, prediction, info)
    except NotFound:
        return _record(runtime, prediction.failed(Reason.SOURCE_MISSING, _GONE))
    except Rejected as rejection:
        reason = Reason(rejection.reason)
        return _record(runtime, prediction.failed(reason, str(rejection), State.REJECTED))
    except OverQuota as refusal:
        return _record(runtime, prediction.failed(Reason.QUOTA_EXCEEDED, str(refusal), State.REJECTED))
    return _record(runtime, cache.answer(runtime, prediction, info) or _queued(prediction, info, header))


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


def _record(runtime: Runtime, decided: Prediction) -> Prediction:
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
