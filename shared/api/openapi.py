"""The OpenAPI document at `/v1/openapi.json`: written by hand, held to the routes by a test."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from starlette.responses import Response

from shared.api.call import Call
from shared.api.schemas import Schema, ref, schemas
from shared.api.service import Service, answer
from shared.prediction import State

Operation = dict[str, Any]
_MORE = {"description": "However many are asked for, at most 100 come at once."}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def get(service: Service, call: Call) -> Response:
    return answer(document(production=service.runtime.settings.profile == "gcp"))


@lru_cache(maxsize=2)
def document(production: bool) -> dict[str, Any]:
    errors = {"description": "Refused, failed, or too much at once.", "content": _json(ref("Error"))}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Maskline", "version": "1", "description": "Turns photos into masks."},
        "security": [{"idToken": []}],
        "paths": _predictions() | _rest() | ({} if production else _development()),
        "components": {
            "schemas": schemas(),
            "responses": {"Error": errors},
            "securitySchemes": {"idToken": {"type": "http", "scheme": "bearer", "bearerFormat": "Firebase ID token"}},
        },
    }


def _predictions() -> dict[str, dict[str, Operation]]:
    missing = {404: "Not there, deleted, or not yours."}
    return {
        "/v1/predictions": {
            "post": _operation(
                "Announce a photo and get the URL to upload it to",
                {201: ("Announced, now or earlier with this requestId.", ref("Announced"))},
                {
                    409: "The requestId was used for something else.",
                    429: "Over one of your limits: `details` names it, `Retry-After` says when to come again.",
                },
                request={"content": _json(ref("NewPrediction")), "required": True},
            ),
            "get": _operation(
                "List your predictions, newest first",
                {200: ("One page.", ref("Predictions"))},
                parameters=[
                    _query(
                        "pageSize", {"type": "integer", "minimum": 1, "default": 20, "maximum": 999_999_999} | _MORE
                    ),
                    _query("pageToken", {"type": "string"}),
                    _query("state", {"type": "string", "enum": [state.value for state in State]}),
                ],
            ),
        },
        "/v1/predictions/{id}": {
            "get": _operation("Read a prediction", {200: ("The prediction.", ref("Prediction"))}, missing, [_ID]),
            "delete": _operation(
                "Delete a prediction with photo, mask and feedback", {204: ("Deleted.", None)}, missing, [_ID]
            ),
        },
        "/v1/predictions/{id}:watch": {"get": _watch(missing)},
        "/v1/predictions/{id}:cancel": {
            "post": _operation(
                "Cancel an unfinished prediction; repeating it is fine",
                {200: ("The cancelled prediction.", ref("Prediction"))},
                missing | {409: "It ended in another way."},
                [_ID],
            )
        },
        "/v1/predictions/{id}/feedback/{feedbackId}": {"put": _feedback(missing)},
    }


def _watch(missing: dict[int, str]) -> Operation:
    operation = _operation("Follow a prediction until it has ended", {}, missing, [_ID])
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    about = "Server-sent events `prediction`; the data of each is a Prediction. A comment every 15 s keeps it open."
    operation["responses"]["200"] = {"description": about, "content": stream}
    return operation


def _feedback(missing: dict[int, str]) -> Operation:
    feedback_id = {"type": "string", "format": "uuid"}
    mask = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
    return _operation(
        "Judge a result, or correct it with an indexed PNG of the same size (at most 1 MiB)",
        {200: ("Known already.", ref("Feedback")), 201: ("Recorded.", ref("Feedback"))},
        missing | {409: "The prediction did not succeed, or the feedbackId was used for other content."},
        [_ID, {"name": "feedbackId", "in": "path", "required": True, "schema": feedback_id}],
        {"content": _json(ref("Verdict")) | mask, "required": True},
    )


def _rest() -> dict[str, dict[str, Operation]]:
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "/v1/me": {
            "delete": _operation(
                "Delete everything of yours",
                {204: ("All is gone.", None), 202: ("There is more: call again.", ref("Unfinished"))},
            )
        },
        "/v1/models": {"get": _operation("List the models", {200: ("All models.", ref("Models"))})},
        "/v1/models/{name}": {
            "get": _operation("Read a model", {200: ("The model.", ref("Model"))}, {404: "No such model."}, [name])
        },
        "/v1/openapi.json": {
            "get": _public("This document", {200: ("The OpenAPI document.", {"type": "object"})}),
        },
        "/healthz": {"get": _public("Is the API there?", {200: ("It is.", ref("Health"))})},
    }


def _development() -> dict[str, dict[str, Operation]]:
    start = _public("A development token for the user `demo`", {200: ("A token.", ref("Session"))})
    return {"/v1/dev/session": {"post": start}}


def _operation(
    summary: str,
    answers: dict[int, tuple[str, Schema | None]],
    errors: dict[int, str] | None = None,
    parameters: list[Schema] | None = None,
    request: Schema | None = None,
) -> Operation:
    responses: dict[str, Any] = {"default": {"$ref": "#/components/responses/Error"}}
    for code, (text, schema) in answers.items():
        responses[str(code)] = {"description": text} | ({"content": _json(schema)} if schema else {})
    for code, text in (errors or {}).items():
        responses[str(code)] = {"description": text, "content": _json(ref("Error"))}
    operation: Operation = {"summary": summary, "responses": responses}
    given = {"parameters": parameters, "requestBody": request}
    return operation | {key: value for key, value in given.items() if value}


def _public(summary: str, answers: dict[int, tuple[str, Schema | None]]) -> Operation:
    return _operation(summary, answers) | {"security": []}


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
