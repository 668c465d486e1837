"""`python -m local.broker --port N --endpoints '{"accept": URL, "settle": URL, "segment": URL}'`."""

from __future__ import annotations

import argparse
import json

from starlette.types import ASGIApp

from local import serving
from local.broker import app
from local.broker.broker import Broker
from local.broker.routes import routes_of, timings_of
from local.broker.schedules import ticks_of
from local.broker.store import Store
from shared import pipeline
from shared.errors import Misconfigured
from shared.logs import Log
from shared.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.broker")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--endpoints", required=True, help="JSON: stage → base URL")
    args = parser.parse_args()
    try:
        _serve(args.port, json.loads(args.endpoints))
    except json.JSONDecodeError:
        serving.refuse(Misconfigured("--endpoints is not JSON"))
    except Misconfigured as error:
        serving.refuse(error)


def _serve(port: int, endpoints: dict[str, str]) -> None:
    settings = Settings.from_env()
    table = pipeline.load()
    routes = routes_of(table, settings, endpoints)
    ticks = ticks_of(table, timings_of(table, settings))

    def make() -> ASGIApp:
        store = Store(settings.data / "broker.db")
        broker = Broker(settings.project, table.topics, routes, store, Log("broker", settings.log_level))
        return app.app(broker, ticks)

    serving.serve(make, port)


if __name__ == "__main__":
    main()
