"""The scaler's HTTP face: pushes by revision, health, metrics."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from local.client import Answer
from local.scaler.fleet import Down
from local.scaler.metrics import prometheus
from local.scaler.revisions import DEFAULT
from local.scaler.scaler import HungUp, Scaler
from shared.errors import Busy

_PASSED_ON = (b"content-type", b"retry-after")


def app(scaler: Scaler) -> Starlette:
    """Stopping it ends every instance."""

    async def push(request: Request) -> Response:
        return await _push(scaler, request)

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(prometheus(scaler), media_type="text/plain; version=0.0.4")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        keeper = asyncio.create_task(scaler.keep())
        yield
        await scaler.stop()
        keeper.cancel()

    routes = [
        Route("/push", push, methods=["POST"]),
        Route("/revisions/{revision}/push", push, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/metrics", metrics),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _push(scaler: Scaler, request: Request) -> Response:
    revision = request.path_params.get("revision", DEFAULT.name)
    if revision not in scaler.revisions:
        return PlainTextResponse("there is no such revision", 404)
    try:
        return _passed_on(await scaler.push(revision, await request.body(), lambda: _hung_up(request)))
    except Busy as error:
        return _refused(429, error)
    except Down as error:
        return _refused(503, error)
    except HungUp:
        return Response(status_code=499)


async def _hung_up(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _passed_on(answer: Answer) -> Response:
    headers = {name.decode(): value.decode("latin-1") for name, value in answer.headers if name in _PASSED_ON}
    return Response(answer.body, answer.status, headers)


def _refused(code: int, error: Busy | Down) -> Response:
    return PlainTextResponse(str(error), code, {"retry-after": str(max(1, math.ceil(error.retry_after)))})
