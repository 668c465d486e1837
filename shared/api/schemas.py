"""The OpenAPI document's schemas: what bodies look like."""

from __future__ import annotations

from typing import Any

from shared.api.announcement import CONTENT_TYPES, MAX_REQUEST_ID
from shared.api.feedback import VERDICTS
from shared.limits import MAX_BYTES
from shared.prediction import Lane, Phase, Reason, State
from shared.results import OUTPUTS

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_URL: Schema = {"type": "string", "format": "uri"}
_SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_RESUMABLE = (
    "For a photo in pieces: POST there with uploadHeaders and `x-goog-resumable: start`, no body. PUT the pieces, "
    "with Content-Range and multiples of 256 KiB but for the last, to the Location that it answers with. 308 asks for "
    "more, and its Range says what is there; after a break `Content-Range: bytes */SIZE` asks how far it got."
)
_PHASE = (
    "What is happening, finer than the state; more may be added. An instance writes `decoding` when it takes the photo "
    "and nothing until it has ended (`batching`, `segmenting` and `storing` are reserved): `timings` has every stage."
)
_TIMINGS = ("queued", "coldStart", "fetch", "decode", "batchWait", "forward", "encode", "store", "total")


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def schemas() -> dict[str, Schema]:
    return {
        "NewPrediction": _new_prediction(),
        "Announced": _announced(),
        "Prediction": _prediction(),
        "Predictions": _object(("predictions",), predictions=_list(ref("Prediction")), nextPageToken=_TEXT),
        "Class": _object(
            ("id", "name", "pixels", "fraction", "box"),
            id=_COUNT,
            name=_TEXT,
            pixels=_COUNT,
            fraction=_NUMBER | {"minimum": 0, "maximum": 1},
            box=_list(_COUNT) | {"minItems": 4, "maxItems": 4, "description": "x, y, width, height in px, upright"},
        ),
        "Verdict": _object(("verdict",), verdict=_one_of(VERDICTS)) | {"additionalProperties": False},
        "Feedback": _feedback(),
        "Model": _model(),
        "Models": _object(("models",), models=_list(ref("Model"))),
        "Session": _object(("token", "user", "expireTime"), token=_TEXT, user=_TEXT, expireTime=_TIME),
        "Health": _object(("status",), status={"const": "ok"}),
        "Unfinished": _object(("done",), done={"const": False}),
        "Error": _error(),
    }


def _new_prediction() -> Schema:
    request_id = _TEXT | {
        "minLength": 1,
        "maxLength": MAX_REQUEST_ID,
        "description": "Sent again, it gives the same prediction.",
    }
    webhook = _URL | {"description": "Reserved: webhooks are not available yet, and a request with one is refused."}
    return _object(
        ("contentType",),
        contentType=_one_of(CONTENT_TYPES),
        sizeBytes={"type": "integer", "minimum": 1, "maximum": MAX_BYTES},
        requestId=request_id,
        lane=_one_of(Lane) | {"default": Lane.INTERACTIVE.value},
        outputs=_list(_one_of(OUTPUTS)) | {"uniqueItems": True, "description": "Besides the PNG mask."},
        webhook=webhook,
    ) | {"additionalProperties": False}


def _announced() -> Schema:
    headers = {"type": "object", "additionalProperties": _TEXT, "description": "Send exactly these with the photo."}
    return _object(
        ("id", "state", "documentPath", "deadline", "expireTime"),
        id=_TEXT,
        state=_one_of(State),
        uploadUrl=_URL | {"description": "PUT the photo there; only while it is awaited."},
        uploadHeaders=headers,
        resumableUploadUrl=_URL | {"description": _RESUMABLE},
        uploadExpireTime=_TIME,
        documentPath=_TEXT | {"description": "The document to listen to."},
        deadline=_TIME,
        expireTime=_TIME,
    )


def _prediction() -> Schema:
    required = ("id", "state", "phase", "lane", "outputs", "input", "timings", "claims", "cache")
    times = ("deadline", "createTime", "updateTime", "expireTime")
    return _object(
        required + times,
        id=_TEXT,
        state=_one_of(State),
        phase=_one_of(Phase) | {"description": _PHASE},
        lane=_one_of(Lane),
        outputs=_list(_one_of(OUTPUTS)),
        input=_object((), contentType=_TEXT, width=_COUNT, height=_COUNT, sha256=_SHA256, sizeBytes=_COUNT),
        model=_object((), name=_TEXT, version=_TEXT, arm=_TEXT),
        result=_result(),
        error=_object(("reason", "message"), reason=_one_of(Reason), message=_TEXT),
        timings=_object((), **dict.fromkeys(_TIMINGS, _NUMBER)) | {"description": "In milliseconds."},
        claims=_COUNT | {"description": "How often a worker took it."},
        cache=_object(("hit",), hit=_FLAG),
        **dict.fromkeys(times, _TIME),
    )


def _result() -> Schema:
    mask = _URL | {"description": "A PNG whose pixels are class ids; valid for at least 15 minutes, as the others are."}
    return _object(
        ("maskUrl", "width", "height", "sha256", "classes"),
        maskUrl=mask,
        **{f"{name}Url": _URL for name in OUTPUTS},
        width=_COUNT,
        height=_COUNT,
        sha256=_SHA256,
        classes=_list(ref("Class")),
    )


def _feedback() -> Schema:
    return _object(
        ("id", "predictionId", "model", "resultSha256", "createTime"),
        id={"type": "string", "format": "uuid"},
        predictionId=_TEXT,
        verdict=_one_of(VERDICTS),
        mask=_object(("sha256", "classes"), sha256=_SHA256, classes=_list(_COUNT)),
        model=_object((), name=_TEXT, version=_TEXT, arm=_TEXT),
        resultSha256=_SHA256,
        createTime=_TIME,
    )


def _model() -> Schema:
    return _object(
        ("name", "updateTime"),
        name=_TEXT,
        version=_TEXT,
        architecture=_TEXT,
        classes=_list(_object(("id", "name"), id=_COUNT, name=_TEXT, color=_TEXT)),
        inputSize=_COUNT,
        outputStride=_COUNT,
        sha256=_SHA256,
        metrics={"type": "object"},
        lineage={"type": "object"},
        updateTime=_TIME,
    )


def _error() -> Schema:
    about = _object((), field=_TEXT, description=_TEXT, reason=_TEXT, limit=_TEXT, allowed=_NUMBER)
    error = _object(
        ("code", "status", "message", "details"), code=_COUNT, status=_TEXT, message=_TEXT, details=_list(about)
    )
    return _object(("error",), error=error)


def _object(required: tuple[str, ...], **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    return schema | ({"required": list(required)} if required else {})


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _one_of(values: Any) -> Schema:
    return {"type": "string", "enum": [str(value) for value in values]}
