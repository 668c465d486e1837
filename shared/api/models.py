"""The models that serve, or have served: what their classes are and how good they were."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from shared.api.call import Call
from shared.api.service import Service, answer
from shared.api.view import timestamp
from shared.errors import NotFound
from shared.ports import Document

_COLLECTION = "models"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FIELDS = ("version", "architecture", "classes", "inputSize", "outputStride", "sha256", "metrics", "lineage")
_UNKNOWN = "There is no such model."


def list_models(service: Service, call: Call) -> Response:
    return answer({"models": [_view(one) for one in service.runtime.documents.query(_COLLECTION)]})


def get(service: Service, call: Call) -> Response:
    name = call.params["name"]
    document = service.runtime.documents.get(f"{_COLLECTION}/{name}") if _NAME.fullmatch(name) else None
    if document is None:
        raise NotFound(_UNKNOWN)
    return answer(_view(document))


def _view(document: Document) -> dict[str, Any]:
    shown = {name: document.data[name] for name in _FIELDS if name in document.data}
    return {"name": document.id} | shown | {"updateTime": timestamp(document.update_time)}
