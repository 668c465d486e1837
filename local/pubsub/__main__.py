"""`python -m local.pubsub --port N --endpoints '{"accept": URL, …}'`: wires the emulator at MASKLINE_BROKER_URL."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route as Path
from starlette.types import ASGIApp

from local import serving
from local.broker.routes import routes_of, timings_of
from local.broker.schedules import ticks_of
from local.pubsub.admin import create
from local.pubsub.scheduler import Scheduler
from local.pubsub.wiring import resources
from shared import pipeline
from shared.adapters.local.topics import LocalTopics
from shared.errors import Misconfigured
from shared.logs import Log
from shared.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.pubsub")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--endpoints", required=True, help="JSON: stage → base URL")
    args = parser.parse_args()
    try:
        serving.serve(partial(_app, Settings.from_env(), json.loads(args.endpoints)), args.port)
    except Misconfigured as error:
        serving.refuse(error)


def _app(settings: Settings, endpoints: dict[str, str]) -> ASGIApp:
    """Healthy once the topics are there."""
    table = pipeline.load()
    wanted = resources(settings.project, table.topics, routes_of(table, settings, endpoints))
    wire = partial(create, settings.broker_url, settings.project, wanted)
    topics = LocalTopics(settings.broker_url, settings.project)  # the emulator's REST publish is the broker's
    scheduler = Scheduler(wire, topics, Log("scheduler", settings.log_level))

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok", 200 if scheduler.wired else 503)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        ticks = ticks_of(table, timings_of(table, settings))
        clocks = [asyncio.create_task(scheduler.run(tick)) for tick in ticks]
        yield
        for clock in clocks:
            clock.cancel()

    return Starlette(routes=[Path("/healthz", healthz)], lifespan=lifespan)


if __name__ == "__main__":
    main()
