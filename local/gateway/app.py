"""Which path goes where."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from local.gateway.files import Files, listed
from local.gateway.guard import Guard
from local.gateway.metrics import collect
from local.gateway.proxy import Proxy, Upstreams
from shared.api.errors import Problem

_WEB = Path(__file__).resolve().parents[2] / "web"
_STATUS = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def app(api: str, objects: str, watched: Mapping[str, str], samples: Path) -> Starlette:
    """`api`, `objects` and `watched` (name → URL) are base URLs; `samples` is the folder with the sample photos."""
    upstreams = Upstreams()

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})  # as the API itself answers

    async def metrics(_: Request) -> Response:
        text = await collect(upstreams.session, watched)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def sample_list(_: Request) -> Response:
        return JSONResponse({"samples": listed(samples)}, headers={"cache-control": "no-store"})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        samples.mkdir(parents=True, exist_ok=True)
        async with upstreams.opened():
            yield

    routes = [
        Route("/healthz", healthz),
        Route("/metrics", metrics),
        Route("/v1/{rest:path}", Proxy(upstreams, api)),
        # Signed URLs only: the storage API beside them asks nobody who they are.
        Route("/storage/upload/{rest:path}", Proxy(upstreams, objects)),
        Route("/storage/download/{rest:path}", Proxy(upstreams, objects)),
        Route("/samples/", sample_list),
        Mount("/samples", Files(directory=samples, check_dir=False)),
        Mount("/", Files(directory=_WEB, html=True)),
    ]
    refusals = {HTTPException: _refused}
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(Guard)], exception_handlers=refusals)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = _STATUS.get(error.status_code, "INVALID_ARGUMENT")
    return Problem(error.status_code, status, error.detail, headers=error.headers or {}).response()
