"""How a prediction looks from outside: the contract's fields and nothing of how it is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.api.service import Service
from shared.api.threads import side_by_side
from shared.prediction import Phase, Prediction, State

_INPUT = ("contentType", "width", "height", "sha256", "sizeBytes")
_MODEL = ("name", "version", "arm")
_RESULT = ("width", "height", "sha256", "classes")
_ERROR = ("reason", "message")
_LINKS_LIVE = timedelta(minutes=15)  # at least
_LINKS_STEP = 300  # s; links end at whole steps, so that who looks again gets the same ones, which are signed once


def prediction_view(service: Service, prediction: Prediction, update_time: datetime) -> dict[str, Any]:
    """Blocks: signs the result's URLs and may look for instances. Parts that do not exist yet are left out."""
    return prediction_views(service, [(prediction, update_time)])[0]


def prediction_views(service: Service, rows: Sequence[tuple[Prediction, datetime]]) -> list[dict[str, Any]]:
    """Predictions with their update times, as `prediction_view` shows them."""
    links = _links(service, [prediction for prediction, _ in rows])
    return [_view(service, *row, urls) for row, urls in zip(rows, links, strict=True)]


def _view(service: Service, prediction: Prediction, update_time: datetime, links: dict[str, str]) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": prediction.id,
        "state": prediction.state.value,
        "phase": phase_of(service, prediction).value,
        "lane": prediction.lane.value,
        "outputs": list(prediction.outputs),
        "input": _pick(prediction.input, _INPUT),
        "model": _pick(prediction.model, _MODEL),
        "result": links | _pick(prediction.result, _RESULT),
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


def links_end(now: datetime) -> datetime:
    until = (now + _LINKS_LIVE).timestamp()
    return datetime.fromtimestamp(math.ceil(until / _LINKS_STEP) * _LINKS_STEP, UTC)


def _links(service: Service, predictions: Sequence[Prediction]) -> list[dict[str, str]]:
    """The URLs of each one's files, signed side by side: in the cloud each may be a call to IAM."""
    expires, sign = links_end(datetime.now(UTC)), service.runtime.objects.sign
    files = [_files(prediction) for prediction in predictions]
    wanted = [place for named in files for place in named.values()]
    urls = iter(side_by_side(lambda place: sign("GET", *place, expires).url, wanted))
    return [{f"{name}Url": next(urls) for name in named} for named in files]


def _files(prediction: Prediction) -> dict[str, tuple[str, str]]:
    """By what they are, the bucket and name of the result's objects."""
    kept = prediction.result
    names = {"mask": kept["object"], **kept.get("outputs", {})} if kept else {}
    return {name: (kept["bucket"], file) for name, file in names.items()}


def _pick(source: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: source[name] for name in names if name in source}
