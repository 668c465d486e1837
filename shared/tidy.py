"""The sweep's slow walks over buckets and old records: a page per tick, with a cursor in `sweeps/{walk}`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from shared import ids
from shared.accept import accept
from shared.errors import AlreadyExists, Conflict
from shared.events import Uploaded
from shared.logs import Log
from shared.ports import ObjectInfo
from shared.prediction import COLLECTION, Prediction, State, from_data
from shared.results import objects_of
from shared.runtime import Runtime

Decide = Callable[[Prediction, datetime], Prediction | None]

PAGE = 200  # objects per walk and tick
_YOUNG = 2.0  # leases: younger objects may still be on their way into a document
_STRAY_SECONDS = 30.0  # an upload's notification gets so long before the walk accepts the object itself
_REMEMBERED = 0.5  # of the retention: an older object had its record, which expires on its own in the cloud


def accept_strays(runtime: Runtime, now: datetime, log: Log) -> None:
    """An object without a prediction was announced by an event that got lost."""
    old = now - timedelta(seconds=max(_STRAY_SECONDS, runtime.settings.sweep_seconds))
    too_old = now - timedelta(seconds=_REMEMBERED * runtime.settings.retention_seconds)
    for info in _walk(runtime, "uploads", runtime.settings.uploads_bucket, ""):
        if too_old < info.create_time <= old and not _accepted(runtime, info):
            log.warning("stray", object=info.name, generation=str(info.generation))
            accept(runtime, Uploaded(info.bucket, info.name, info.generation), log)


def delete_orphans(runtime: Runtime, now: datetime, log: Log) -> None:
    """A file of a result whose claim lost its fence, or died before the commit."""
    old = now - timedelta(seconds=_YOUNG * runtime.settings.lease_seconds)
    for info in _walk(runtime, "results", runtime.settings.results_bucket, "predictions/"):
        if info.create_time <= old and _orphaned(runtime, info):
            runtime.objects.delete(info.bucket, info.name, info.generation)
            log("orphan_deleted", object=info.name)


def delete_expired(runtime: Runtime, now: datetime, log: Log) -> None:
    """Past `expireTime` nothing of a photo is kept: objects first, so that a crash leaves the record to find them."""
    due = runtime.documents.query(COLLECTION, [("expireTime", "<=", now)], [("expireTime", "asc")], PAGE)
    for document in due:
        prediction = from_data(document.data)
        if prediction.state.terminal:
            delete_objects(runtime, prediction)
            runtime.documents.delete(document.path)
            log("deleted", prediction_id=prediction.id)


def delete_objects(runtime: Runtime, prediction: Prediction) -> None:
    runtime.objects.delete(prediction.bucket, prediction.object, prediction.generation or None)
    for name in objects_of(prediction.result):
        runtime.objects.delete(prediction.result["bucket"], name)
    for feedback in runtime.documents.query(f"{prediction.path}/feedback", limit=1000):
        if mask := feedback.data.get("object"):
            runtime.objects.delete(runtime.settings.results_bucket, mask)
        runtime.documents.delete(feedback.path)


def _accepted(runtime: Runtime, info: ObjectInfo) -> bool:
    announced = ids.announced_id(info.name)
    snapshot = runtime.store.get(announced) if announced else None
    if snapshot is not None and snapshot.prediction.object == info.name:
        known = snapshot.prediction
        if known.generation == info.generation or known.deleted or (known.generation == 0 and known.state.terminal):
            return True
        if known.state is State.AWAITING_UPLOAD:
            return False
    return runtime.store.get(ids.prediction_id_of(info.bucket, info.name, info.generation)) is not None


def _orphaned(runtime: Runtime, info: ObjectInfo) -> bool:
    parts = info.name.split("/")  # predictions/{id}/{generation}/{fence}/{file}
    if len(parts) != 5:
        return False
    snapshot = runtime.store.get(parts[1])
    if snapshot is None:
        return True
    prediction = snapshot.prediction
    if prediction.state.terminal:
        return info.name not in objects_of(prediction.result)
    return parts[3] != str(prediction.fence)


def _walk(runtime: Runtime, walk: str, bucket: str, prefix: str) -> list[ObjectInfo]:
    """The next page; after the last one it begins again. Two walkers at once would only look twice."""
    path = f"sweeps/{walk}"
    cursor = runtime.documents.get(path)
    after = str(cursor.data["after"]) if cursor else ""
    page = runtime.objects.list(bucket, prefix, after, PAGE)
    data = {"after": page[-1].name if len(page) == PAGE else ""}
    try:
        if cursor is None:
            runtime.documents.create(path, data)
        elif cursor.data != data:
            runtime.documents.replace(path, data, cursor.version)
    except (AlreadyExists, Conflict):
        pass
    return page
