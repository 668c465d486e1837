"""Every route of the API."""

from __future__ import annotations

from collections.abc import Sequence

from shared.api import feedback, health, models, openapi, predictions, removal, session, watching
from shared.api.call import JSON_BYTES
from shared.api.routing import Route
from shared.limits import MAX_MASK_BYTES
from shared.settings import Settings

ROUTES = (
    Route("GET", "/healthz", health.alive, public=True),
    Route("GET", "/v1/openapi.json", openapi.get, public=True),
    Route("POST", "/v1/predictions", predictions.create, body_bytes=JSON_BYTES),
    Route("GET", "/v1/predictions", predictions.list_predictions),
    Route("GET", "/v1/predictions/{id}", predictions.get),
    Route("DELETE", "/v1/predictions/{id}", removal.delete),
    Route("GET", "/v1/predictions/{id}:watch", watching.watch),
    Route("POST", "/v1/predictions/{id}:cancel", predictions.cancel),
    Route("PUT", "/v1/predictions/{id}/feedback/{feedbackId}", feedback.put, body_bytes=MAX_MASK_BYTES),
    Route("DELETE", "/v1/me", removal.delete_me),
    Route("GET", "/v1/models", models.list_models),
    Route("GET", "/v1/models/{name}", models.get),
)
DEVELOPMENT = (Route("POST", "/v1/dev/session", session.start, public=True),)


def routes(settings: Settings) -> Sequence[Route]:
    return ROUTES if settings.profile == "gcp" else ROUTES + DEVELOPMENT
