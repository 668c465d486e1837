"""The broker's HTTP face: publish as Pub/Sub's REST API does, health, metrics, statistics, what waits."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route as Path

from local.broker import publish, schedules
from local.broker.broker import Broker
from local.broker.store import Full, Store
from shared.errors import Malformed, MasklineError, NotFound

_STATUS = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 413: "INVALID_ARGUMENT", 503: "UNAVAILABLE", 507: "UNAVAILABLE"}
_PAGE, _LAST = 1000, (1 << 63) - 1  # messages; the greatest `seq` that there can be
_EVENTS = ("delivered", "nacked", "dead_lettered", "expired")


def app(broker: Broker, ticks: Sequence[schedules.Tick]) -> Starlette:
    """Starting it starts deliveries and ticks; stopping it writes what is known and closes the store."""

    async def published(request: Request) -> Response:
        return await _publish(broker, request)

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(prometheus(broker), media_type="text/plain; version=0.0.4")

    async def stats(_: Request) -> Response:
        return JSONResponse(statistics(broker))

    async def waiting(request: Request) -> Response:
        return await _waiting(broker, request)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        writer = asyncio.create_task(_write(broker.store))
        broker.start()
        clocks = [asyncio.create_task(schedules.run(tick, broker, broker.log)) for tick in ticks]
        yield
        for clock in clocks:
            clock.cancel()
        await broker.stop()
        broker.store.close()
        await writer

    routes = [
        Path("/v1/projects/{project}/topics/{topic}:publish", published, methods=["POST"]),
        Path("/healthz", healthz),
        Path("/metrics", metrics),
        Path("/v1/stats", stats),
        Path("/v1/waiting", waiting),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _publish(broker: Broker, request: Request) -> Response:
    try:
        if request.path_params["project"] != broker.project:
            raise NotFound("there is no such project here")
        body = await _body(request)
        if body is None:
            return _error(413, f"a publish request has at most {publish.MAX_BYTES} bytes")
        ids = await broker.publish(request.path_params["topic"], publish.parse(body))
        return JSONResponse({"messageIds": ids})
    except MasklineError as error:
        return _error(_code(error), str(error))


async def _waiting(broker: Broker, request: Request) -> Response:
    """A page of what waits, after the `seq` that `after` names; an empty one is the last."""
    try:
        after = min(int(request.query_params.get("after", "0")), _LAST)
        page = await broker.store.waiting(max(after, 0), _PAGE)
    except ValueError:
        return _error(400, "`after` is a number")
    except MasklineError as error:
        return _error(_code(error), str(error))
    answer = json.dumps({"asOf": time.time(), "since": broker.store.since, "messages": page})
    return Response(answer, media_type="application/json")  # all ASCII: attributes may hold halves of characters


async def _body(request: Request) -> bytes | None:
    """None if it is too large; such a body is not read to its end."""
    chunks, size = [], 0
    if int(request.headers.get("content-length") or 0) > publish.MAX_BYTES:
        return None
    async for chunk in request.stream():
        size += len(chunk)
        if size > publish.MAX_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _code(error: MasklineError) -> int:
    if isinstance(error, Malformed):
        return 400
    if isinstance(error, NotFound):
        return 404
    return 507 if isinstance(error, Full) else 503


def _error(code: int, message: str) -> Response:
    headers = {"retry-after": "1"} if code in (503, 507) else {}
    content = {"error": {"code": code, "status": _STATUS[code], "message": message}}
    return JSONResponse(content, code, headers=headers)


async def _write(store: Store) -> None:
    """A broker whose writer is broken must not go on: it would accept nothing and say nothing."""
    try:
        await store.run()
    except Exception as error:
        print(f"the queue's writer failed: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def statistics(broker: Broker) -> dict[str, Any]:
    """Counts since the start; gauges as they are now."""
    now = broker.clock()
    subscriptions = {}
    for name, queue in broker.queues.items():
        oldest = queue.oldest_publish_time
        subscriptions[name] = {event: broker.counts[event, name] for event in _EVENTS} | {
            "backlog": queue.backlog,
            "outstanding": queue.outstanding,
            "window": int(queue.window.size),
            "oldest_unacked_seconds": 0.0 if oldest is None else round(max(0.0, now - oldest), 3),
        }
    published = {topic: broker.counts["published", topic] for topic in sorted(broker.topics)}
    return {"published": published, "subscriptions": subscriptions}


def prometheus(broker: Broker) -> str:
    numbers = statistics(broker)
    lines = ["# TYPE maskline_broker_published_total counter"]
    lines += [f'maskline_broker_published_total{{topic="{t}"}} {n}' for t, n in numbers["published"].items()]
    for key in (*_EVENTS, "backlog", "outstanding", "window", "oldest_unacked_seconds"):
        name = f"maskline_broker_{key}" + ("_total" if key in _EVENTS else "")
        lines.append(f"# TYPE {name} {'counter' if key in _EVENTS else 'gauge'}")
        lines += [f'{name}{{subscription="{s}"}} {row[key]}' for s, row in numbers["subscriptions"].items()]
    return "\n".join(lines) + "\n"
