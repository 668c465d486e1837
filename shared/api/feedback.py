"""A person's word on a result: a verdict or a corrected mask, append-only, idempotent by an id that the client made.

The mask is stored before the document that points to it, so a document never points to nothing. The object's name
holds both ids and is created only once: who comes second with other content loses.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from shared.api.call import Call
from shared.api.errors import InvalidFields, WrongType
from shared.api.service import Service, answer, json_object
from shared.api.view import timestamp
from shared.corrections import Correction, read_correction
from shared.errors import AlreadyExists, Conflict, NotFound
from shared.ports import Document
from shared.prediction import Prediction, State
from shared.runtime import Runtime

VERDICTS = ("good", "bad")
MOST = 100  # per prediction
_ANY_ID = range(256)
_NOT_SUCCEEDED = "Only a prediction that succeeded takes feedback."
_OTHER_CONTENT = "This feedbackId was used for other feedback; make a new one."
_ENOUGH = f"A prediction takes at most {MOST} pieces of feedback."


@dataclass(frozen=True, slots=True)
class Feedback:
    """`digest` tells whether a repeated id brings the same content."""

    digest: str
    verdict: str = ""
    correction: Correction | None = None


def put(service: Service, call: Call) -> Response:
    feedback_id = _feedback_id(call.params["feedbackId"])
    prediction = service.owned(call).prediction
    if prediction.state is not State.SUCCEEDED:
        raise Conflict(_NOT_SUCCEEDED)
    feedback = _read(service.runtime, prediction, call)
    path = f"{prediction.path}/feedback/{feedback_id}"
    known = service.runtime.documents.get(path)
    document = known or _store(service.runtime, prediction, path, feedback)
    if document.data["digest"] != feedback.digest:
        raise Conflict(_OTHER_CONTENT)
    if known is None:
        _not_after_deletion(service, call, document)
        service.log("feedback", prediction_id=prediction.id, trace=prediction.trace, verdict=feedback.verdict)
    return answer(_view(prediction.id, document), 200 if known else 201)


def _feedback_id(text: str) -> str:
    try:
        parsed = str(uuid.UUID(text))
    except ValueError:
        parsed = ""
    if parsed != text.lower():
        raise InvalidFields({"feedbackId": "must be a UUID"})
    return parsed


def _read(runtime: Runtime, prediction: Prediction, call: Call) -> Feedback:
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "image/png":
        result = prediction.result
        correction = read_correction(call.body, result["width"], result["height"], _class_ids(runtime, prediction))
        return Feedback(correction.digest, correction=correction)
    if kind != "application/json":
        raise WrongType("Feedback is application/json with a verdict, or image/png with a corrected mask.")
    body = json_object(call.body)
    problems = {name: "unknown field" for name in body if name != "verdict"}
    if body.get("verdict") not in VERDICTS:
        problems["verdict"] = f"must be one of {', '.join(VERDICTS)}"
    if problems:
        raise InvalidFields(problems)
    return Feedback(hashlib.sha256(body["verdict"].encode()).hexdigest(), verdict=body["verdict"])


def _class_ids(runtime: Runtime, prediction: Prediction) -> Collection[int]:
    """The ids that the result's model knows; all, if that version is not registered any more."""
    name = prediction.model.get("name", "")
    model = runtime.documents.get(f"models/{name}") if name else None
    if model is None or model.data.get("version") != prediction.model.get("version"):
        return _ANY_ID
    return {one["id"] for one in model.data.get("classes", [])} or _ANY_ID


def _store(runtime: Runtime, prediction: Prediction, path: str, feedback: Feedback) -> Document:
    """The document of this feedback id: ours, or that of whoever was faster."""
    if len(runtime.documents.query(f"{prediction.path}/feedback", limit=MOST)) >= MOST:
        raise Conflict(_ENOUGH)
    data = _data(prediction, feedback)
    if feedback.correction is not None:
        name = f"feedback/{prediction.id}/{path.rpartition('/')[2]}.png"
        _store_mask(runtime, name, feedback.correction, data["corrects"])
        data["object"] = name
    try:
        return runtime.documents.create(path, data)
    except AlreadyExists:
        document = runtime.documents.get(path)
        if document is None:
            raise NotFound("The prediction was deleted.") from None
        return document


def _data(prediction: Prediction, feedback: Feedback) -> dict[str, Any]:
    """`corrects` says which result this is about, so that it stays true whatever runs later."""
    data: dict[str, Any] = {
        "ownerUid": prediction.owner_uid,
        "predictionId": prediction.id,
        "digest": feedback.digest,
        "arm": prediction.arm,
        "corrects": {
            "resultSha256": prediction.result["sha256"],
            "generation": str(prediction.generation),  # 64 bits: a string survives JavaScript
            "model": prediction.model.get("name", ""),
            "version": prediction.model.get("version", ""),
        },
    }
    if feedback.correction is not None:
        return data | {"classes": list(feedback.correction.classes)}
    return data | {"verdict": feedback.verdict}


def _store_mask(runtime: Runtime, name: str, correction: Correction, corrects: dict[str, str]) -> None:
    """Raises `Conflict` if the name holds another mask."""
    bucket = runtime.settings.results_bucket
    try:
        runtime.objects.put(bucket, name, correction.png, "image/png", if_generation_match=0, metadata=corrects)
    except Conflict:
        if runtime.objects.get(bucket, name) != correction.png:
            raise Conflict(_OTHER_CONTENT) from None


def _not_after_deletion(service: Service, call: Call, document: Document) -> None:
    """Feedback that was on its way while its prediction was deleted goes, too. Raises `NotFound` then."""
    try:
        service.owned(call)
    except NotFound:
        if mask := document.data.get("object"):
            service.runtime.objects.delete(service.runtime.settings.results_bucket, mask)
        service.runtime.documents.delete(document.path)
        raise


def _view(prediction_id: str, document: Document) -> dict[str, Any]:
    data = document.data
    corrects = data["corrects"]
    view: dict[str, Any] = {
        "id": document.id,
        "predictionId": prediction_id,
        "model": {"name": corrects["model"], "version": corrects["version"], "arm": data["arm"]},
        "resultSha256": corrects["resultSha256"],
        "createTime": timestamp(document.create_time),
    }
    if "object" in data:
        return view | {"mask": {"sha256": data["digest"], "classes": data["classes"]}}
    return view | {"verdict": data["verdict"]}
