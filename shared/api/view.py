"""How a prediction looks from outside: the contract's fields and nothing of how it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.api.service import Service
from shared.prediction import Phase, Prediction, State

_INPUT = ("contentType", "width", "height", "sha256", "sizeBytes")
_MODEL = ("name", "version", "arm")
_RESULT = ("width", "height", "sha256", "classes")
_ERROR = ("reason", "message")
_LINKS_LIVE = timedelta(minutes=15)


def prediction_view(service: Service, prediction: Prediction, update_time: datetime) -> dict[str, Any]:
    """Blocks: signs the result's URLs and may look for instances. Parts that do not exist yet are left out."""
    view: dict[str, Any] = {
        "id": prediction.id,
        "state": prediction.state.value,
        "phase": phase_of(service, prediction).value,
        "lane": prediction.lane.value,
        "outputs": list(prediction.outputs),
        "input": _pick(prediction.input, _INPUT),
        "model": _pick(prediction.model, _MODEL),
        "result": _result(service, prediction),
        "error": _pick(prediction.error, _ERROR),
        "timings": dict(prediction.timings),
        "claims": prediction.claims,
        "cache": {"hit": bool(prediction.cache.get("hit", False))},
        "deadline": timestamp(prediction.deadline),
        "createTime": timestamp(prediction.create_time),
        "updateTime": timestamp(update_time),
        "expireTime": timestamp(prediction.expire_time),
    }
    return {name: value for name, value in view.items() if value or name not in ("model", "result", "error")}


def phase_of(service: Service, prediction: Prediction) -> Phase:
    """As recorded, but a photo in the queue waits for an instance when none is awake."""
    if prediction.state is State.QUEUED and not service.instances.any_ready():
        return Phase.STARTING_INSTANCE
    return prediction.phase


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _result(service: Service, prediction: Prediction) -> dict[str, Any]:
    kept = prediction.result
    if not kept:
        return {}
    expires = datetime.now(UTC) + _LINKS_LIVE
    files = {"mask": kept["object"], **kept.get("outputs", {})}
    objects = service.runtime.objects
    links = {f"{name}Url": objects.sign("GET", kept["bucket"], file, expires).url for name, file in files.items()}
    return links | _pick(kept, _RESULT)


def _pick(source: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: source[name] for name in names if name in source}
