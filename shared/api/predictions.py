"""Announce, read, list and cancel predictions."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from shared import ids, quotas
from shared.api.announcement import Announcement, draft, read_announcement
from shared.api.call import Call
from shared.api.errors import InvalidFields
from shared.api.service import Service, answer, json_object
from shared.api.threads import side_by_side
from shared.api.view import prediction_view, prediction_views, timestamp
from shared.errors import AlreadyExists, Conflict
from shared.ports import Method, Where
from shared.prediction import COLLECTION, Prediction, State, from_data
from shared.store import Snapshot

_TRACE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_PAGE, _MAX_PAGE = 20, 100  # predictions
_OTHER_REQUEST = "This requestId belongs to another request of yours; use a new one."
_DELETED_REQUEST = "The prediction of this requestId was deleted; use a new one."
_ENDED = "The prediction has ended already and cannot be cancelled."


def create(service: Service, call: Call) -> Response:
    wanted = read_announcement(json_object(call.body))
    drafted = draft(wanted, call.uid, datetime.now(UTC), service.runtime.settings, _trace(call.headers))
    prediction = _asked_before(service, drafted) or _made(service, drafted, wanted)
    return answer(_announced(service, prediction, wanted), 201)


def _made(service: Service, drafted: Prediction, wanted: Announcement) -> Prediction:
    """Charged first: whoever dies in between has paid for one photo too many, and nobody gets one for nothing."""
    quotas.charge(service.runtime, drafted.owner_uid, quotas.Charge(drafted.id, wanted.most_bytes))
    try:
        service.runtime.store.create(drafted)
    except AlreadyExists:
        known = _asked_before(service, drafted)
        if known is None:
            raise Conflict(_DELETED_REQUEST) from None
        return known
    service.log("announced", prediction_id=drafted.id, lane=drafted.lane.value, trace=drafted.trace)
    return drafted


def _asked_before(service: Service, drafted: Prediction) -> Prediction | None:
    """The prediction that this caller's request id made earlier. Raises `Conflict` if it was for something else."""
    snapshot = service.runtime.store.get(drafted.id) if drafted.request_id else None
    if snapshot is None:
        return None
    if snapshot.prediction.deleted:
        raise Conflict(_DELETED_REQUEST)
    known = snapshot.prediction
    if (known.owner_uid, known.request_id) != (drafted.owner_uid, drafted.request_id):
        raise Conflict(_OTHER_REQUEST)
    return known


def _announced(service: Service, prediction: Prediction, wanted: Announcement) -> dict[str, Any]:
    """With upload URLs while the photo is still to come."""
    view = {
        "id": prediction.id,
        "state": prediction.state.value,
        "documentPath": prediction.path,
        "deadline": timestamp(prediction.deadline),
        "expireTime": timestamp(prediction.expire_time),
    }
    if prediction.state is not State.AWAITING_UPLOAD:
        return view
    return view | _upload(service, prediction, wanted)


def _upload(service: Service, prediction: Prediction, wanted: Announcement) -> dict[str, Any]:
    lasts = timedelta(seconds=service.runtime.settings.upload_seconds)
    expires = min(datetime.now(UTC) + lasts, prediction.deadline)
    bound = (prediction.bucket, prediction.object, expires, wanted.content_type, wanted.most_bytes)
    methods: tuple[Method, ...] = ("PUT", "POST")
    whole, resumable = side_by_side(lambda method: service.runtime.objects.sign(method, *bound), methods)
    return {
        "uploadUrl": whole.url,
        "uploadHeaders": dict(whole.headers),
        "resumableUploadUrl": resumable.url,
        "uploadExpireTime": timestamp(expires),
    }


def get(service: Service, call: Call) -> Response:
    return _shown(service, service.owned(call))


def _shown(service: Service, snapshot: Snapshot) -> Response:
    return answer(prediction_view(service, snapshot.prediction, snapshot.update_time))


def list_predictions(service: Service, call: Call) -> Response:
    """Newest first. A page token goes on after the last prediction of its page, whatever was added since."""
    size, state, after = _listing(call.query)
    where: list[Where] = [("ownerUid", "==", call.uid), ("deleted", "==", False)]
    if state:
        where.append(("state", "==", state))
    documents = service.runtime.documents.query(COLLECTION, where, [("createTime", "desc")], size + 1, after)
    page = documents[:size]
    shown = prediction_views(service, [(from_data(one.data), one.update_time) for one in page])
    token = _page_token(page[-1].data["createTime"], page[-1].id, state) if len(documents) > size else ""
    return answer({"predictions": shown} | ({"nextPageToken": token} if token else {}))


def _listing(query: Mapping[str, str]) -> tuple[int, str, list[Any] | None]:
    """Page size, state (empty: any) and cursor."""
    problems = {name: "unknown parameter" for name in query if name not in ("pageSize", "pageToken", "state")}
    size, state, token = query.get("pageSize", str(_PAGE)), query.get("state", ""), query.get("pageToken", "")
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", size):
        problems["pageSize"] = f"must be a whole number from 1; at most {_MAX_PAGE} are returned"
    if state and state not in tuple(State):
        problems["state"] = f"must be one of {', '.join(State)}"
    after = _cursor(token, state) if token else None
    if token and after is None:
        problems["pageToken"] = "must be a nextPageToken of the same listing"
    if problems:
        raise InvalidFields(problems)
    return min(int(size), _MAX_PAGE), state, after


def _page_token(created: datetime, last_id: str, state: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([created.isoformat(), last_id, state]).encode()).decode().rstrip("=")


def _cursor(token: str, state: str) -> list[Any] | None:
    try:
        created, last_id, listed = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True))
        moment = datetime.fromisoformat(created)
        fine = ids.is_prediction_id(last_id) and moment.tzinfo is not None and listed == state
    except (binascii.Error, ValueError, TypeError, RecursionError):
        return None
    return [moment, last_id] if fine else None


def cancel(service: Service, call: Call) -> Response:
    """Cancelling what is cancelled is fine; a claim that runs loses its fence, so its mask never becomes visible."""
    name = service.owned(call).prediction.id
    service.runtime.store.update(
        name, lambda prediction, _: None if prediction.state.terminal else prediction.ended(State.CANCELLED)
    )
    snapshot = service.owned(call)
    if snapshot.prediction.state is not State.CANCELLED:
        raise Conflict(_ENDED)
    service.log("cancelled", prediction_id=name, trace=snapshot.prediction.trace)
    return _shown(service, snapshot)


def _trace(headers: Mapping[str, str]) -> str:
    """The caller's W3C traceparent, or a new one."""
    given = headers.get("traceparent", "")
    return given if _TRACE.fullmatch(given) else f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
