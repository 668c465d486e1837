"""Delete predictions with everything that belongs to them.

First the tombstone: from then on the prediction is gone for everybody, and its objects can still be found. Then the
objects and the feedback, then what the record says of the photo. Each step may be repeated, so a request that died on
the way is finished by the next one, or by the sweep when the record expires.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime

from starlette.responses import Response

from shared import ids, tidy
from shared.api.call import Call
from shared.api.errors import HEADERS
from shared.api.service import UNKNOWN, Service, answer
from shared.errors import NotFound
from shared.prediction import COLLECTION, Prediction, State, from_data
from shared.runtime import Runtime

_PAGE = 100
_PATIENCE = 20.0  # s of deleting in one request


def delete(service: Service, call: Call) -> Response:
    prediction = service.owned_or_deleted(call).prediction
    if _empty(prediction):
        raise NotFound(UNKNOWN)
    remove(service.runtime, prediction.id)
    service.log("deleted", prediction_id=prediction.id, trace=prediction.trace)
    return Response(status_code=204, headers=HEADERS)


def delete_me(service: Service, call: Call) -> Response:
    """Everything of the caller. 204: all gone; 202: there is more, call again."""
    runtime = service.runtime
    until = time.monotonic() + _PATIENCE
    after: list[object] | None = None
    while True:
        page = runtime.documents.query(
            COLLECTION, [("ownerUid", "==", call.uid)], [("createTime", "asc")], _PAGE, after
        )
        for document in page:
            if not _empty(from_data(document.data)):
                remove(runtime, document.id)
            if time.monotonic() > until:
                return answer({"done": False}, 202)
        if len(page) < _PAGE:
            break
        after = [page[-1].data["createTime"], page[-1].id]
    _delete_objects(runtime, runtime.settings.uploads_bucket, f"users/{ids.user_segment(call.uid)}/")
    service.log("deleted_user")
    return Response(status_code=204, headers=HEADERS)


def remove(runtime: Runtime, prediction_id: str) -> None:
    tombstone = runtime.store.update(prediction_id, _tombstone)
    if tombstone is not None:
        tidy.delete_objects(runtime, tombstone)
        _delete_objects(runtime, runtime.settings.results_bucket, f"feedback/{prediction_id}/")
        runtime.store.update(prediction_id, _emptied)


def _tombstone(prediction: Prediction, now: datetime) -> Prediction | None:
    if prediction.deleted:
        return None
    ended = prediction if prediction.state.terminal else prediction.ended(State.CANCELLED)
    return replace(ended, deleted=True)


def _emptied(prediction: Prediction, now: datetime) -> Prediction:
    return replace(prediction, input={}, result={}, error={}, timings={}, cache={}, outputs=())


def _empty(prediction: Prediction) -> bool:
    return prediction.deleted and not (prediction.input or prediction.result or prediction.error)


def _delete_objects(runtime: Runtime, bucket: str, prefix: str) -> None:
    """Also what no document points to, because somebody died before writing one."""
    while found := runtime.objects.list(bucket, prefix, limit=_PAGE):
        for info in found:
            runtime.objects.delete(bucket, info.name, info.generation)
