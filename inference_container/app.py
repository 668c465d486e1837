"""The routes of one instance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from inference_container.claims import Claims
from inference_container.lifecycle import Loaded
from inference_container.memory import keep_trimmed
from inference_container.metrics import CONTENT_TYPE
from inference_container.push import Push
from inference_container.segment import segment
from inference_container.service import Service

DRAIN = 5.0  # s from SIGTERM that photos get to end, before their claims are given back


def make_app(service: Service, loading: Future[Loaded], claims: Claims | None) -> Starlette:
    """Without `claims`: no queue and no cloud, only photos over HTTP."""
    push = Push(service, claims) if claims else None

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        return PlainTextResponse("ready") if service.ready else PlainTextResponse("not ready", 503)

    async def metrics(request: Request) -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    async def segment_route(request: Request) -> Response:
        return await segment(service, request)

    async def push_route(request: Request) -> Response:
        assert push is not None
        return await push.deliver(request)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        work = [asyncio.create_task(one) for one in _company(service, loading, claims)]
        yield
        for task in work:
            task.cancel()
        if service.record:
            await service.record.remove()

    routes = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/v1/segment", segment_route, methods=["POST"]),
    ]
    if push:
        routes.append(Route("/push", push_route, methods=["POST"]))
    return Starlette(routes=routes, lifespan=lifespan)


def _company(service: Service, loading: Future[Loaded], claims: Claims | None) -> Iterator[Coroutine[None, None, None]]:
    """What runs beside the requests."""
    yield service.load(loading)
    yield service.watch(loading)
    yield keep_trimmed()
    if service.record:
        yield service.record.keep()
    if claims:
        yield _drain(service, claims)


async def _drain(service: Service, claims: Claims) -> None:
    await service.stopped.wait()
    await claims.drain(DRAIN)
