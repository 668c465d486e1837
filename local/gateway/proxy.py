"""Pass a request on to a service, and its answer back, both as streams: nothing is held, so the slower side sets the
pace, and an event passes at once. The path stays as it was received: object names are percent-encoded segments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from yarl import URL

from shared.api.errors import Problem

_OWN = {"host", "expect", "date", "server"}  # each side writes its own
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_UNAVAILABLE = Problem(
    503, "UNAVAILABLE", "The service is starting again; please try again.", headers={"retry-after": "1"}
)
_KEEP_ALIVE = 1.0  # s: less than any service keeps an idle connection, so that none is used while it closes
_TIMES = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=120)  # s; watchers hear something every 15 s
_NOT_ADDED = ("accept", "accept-encoding", "content-type", "user-agent")  # by the client, where the caller sent none


class Upstreams:
    """The connections to all services, while `opened`."""

    session: aiohttp.ClientSession

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMES,
            auto_decompress=False,
            skip_auto_headers=_NOT_ADDED,
        ) as self.session:
            yield


class Proxy:
    """ASGI: every request to the service at `base`. 503 while it does not answer."""

    def __init__(self, upstreams: Upstreams, base: str) -> None:
        self._upstreams = upstreams
        self._base = base.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._asked(request)
        except (aiohttp.ClientError, TimeoutError):
            await _UNAVAILABLE.response()(scope, receive, send)
        except ClientDisconnect:
            return
        else:
            async with answer:  # closes the upstream connection if the caller has left
                await _passed(answer)(scope, receive, send)

    async def _asked(self, request: Request) -> aiohttp.ClientResponse:
        return await self._upstreams.session.request(
            request.method,
            URL(self._base + _target(request.scope), encoded=True),
            headers=_end_to_end(request.headers.items(), request.headers.get("connection", "")),
            data=request.stream() if _has_body(request.headers) else None,
            allow_redirects=False,
        )


def _target(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    raw: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    return raw.decode("latin-1")


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _end_to_end(headers: list[tuple[str, str]], connection: str) -> list[tuple[str, str]]:
    """Without those that speak about one connection only, by standard or by what `Connection` names."""
    named = {name.strip().lower() for name in connection.split(",")}
    return [(name, value) for name, value in headers if name.lower() not in _OWN | _HOP_BY_HOP | named]


def _passed(answer: aiohttp.ClientResponse) -> StreamingResponse:
    response = StreamingResponse(answer.content.iter_any(), answer.status)
    kept = _end_to_end(list(answer.headers.items()), answer.headers.get("connection", ""))
    response.raw_headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in kept]
    return response
