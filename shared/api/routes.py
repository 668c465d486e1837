"""Every route of the API."""

from __future__ import annotations

from collections.abc import Sequence

from shared.api import health, predictions, watching
from shared.api.routing import JSON_BYTES, Route
from shared.settings import Settings

_ROUTES = (
    Route("GET", "/healthz", health.alive, public=True),
    Route("POST", "/v1/predictions", predictions.create, body_bytes=JSON_BYTES),
    Route("GET", "/v1/predictions", predictions.list_predictions),
    Route("GET", "/v1/predictions/{id}", predictions.get),
    Route("GET", "/v1/predictions/{id}:watch", watching.watch),
    Route("POST", "/v1/predictions/{id}:cancel", predictions.cancel),
)


def routes(settings: Settings) -> Sequence[Route]:
    return _ROUTES
