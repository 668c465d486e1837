"""The object server's HTTP face, and the loops that live beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from local.objects import metrics, relay
from local.objects.background import forever, where
from local.objects.errors import problem_of
from local.objects.routing import Handler, handlers, is_signed, segments_of
from local.objects.service import Service
from local.objects.signed import CROSS_ORIGIN
from shared.api.errors import WrongMethod
from shared.api.threads import in_thread
from shared.errors import Denied
from shared.logs import Log

_METHODS = ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]


def app(service: Service, loops: Mapping[str, Callable[[], Awaitable[None]]], log: Log) -> Starlette:
    """Starting it starts the loops, which stop with it."""

    async def answered(request: Request) -> Response:
        return await _answered(service, request, log)

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def shown(_: Request) -> Response:
        outbox = await in_thread(relay.backlog, service.objects.catalog)
        return Response(service.metrics.text(outbox), media_type=metrics.CONTENT_TYPE)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(forever(name, loop, log)) for name, loop in loops.items()]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        service.objects.close()

    routes = [
        Route("/healthz", healthz),
        Route("/metrics", shown),
        Route("/{path:path}", answered, methods=_METHODS),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _answered(service: Service, request: Request, log: Log) -> Response:
    """Pages of other origins may read what a signed URL answers, its errors too."""
    open_to_pages = False
    try:
        segments = segments_of(request.scope["raw_path"])
        open_to_pages = is_signed(segments)
        if not open_to_pages and "origin" in request.headers:
            raise Denied("pages in a browser may use signed URLs only")  # this server trusts whoever reaches it
        response = await _handler(service, segments, request.method)(request)
    except ClientDisconnect:
        response = Response(status_code=400)  # nobody hears it
    except Exception as error:
        problem = problem_of(error)
        if problem.code >= 500:
            log.error("failed", method=request.method, error=type(error).__name__, where=where(error))
        response = problem.response()
    if open_to_pages:
        response.headers.update(CROSS_ORIGIN)
    return response


def _handler(service: Service, segments: list[str], method: str) -> Handler:
    found = handlers(service, segments)
    if method not in found:
        raise WrongMethod(list(found))
    return found[method]
