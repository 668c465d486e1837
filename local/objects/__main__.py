"""`python -m local.objects --port N`: needs no broker; without one, notifications wait in the outbox."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from local import serving
from local.objects.app import app
from local.objects.drop import DropFolder
from local.objects.metrics import Metrics
from local.objects.relay import Relay
from local.objects.service import Service
from local.objects.sessions import Sessions
from local.objects.sweep import sweep
from shared.adapters.local.objects import LocalObjects
from shared.errors import Misconfigured
from shared.logs import Log
from shared.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.objects")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    try:
        _serve(args.port)
    except Misconfigured as error:
        serving.refuse(error)


def _serve(port: int) -> None:
    settings = Settings.from_env()
    folder = settings.data / "buckets" / settings.uploads_bucket
    objects = LocalObjects(settings.data, settings.url, settings.uploads_bucket, settings.results_bucket)
    _prepare(objects, folder)
    serving.serve(partial(_app, settings, objects, folder), port)


def _prepare(objects: LocalObjects, folder: Path) -> None:
    """What is wrong with the data folder is said now. Raises `Misconfigured`."""
    objects.catalog.buckets()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise Misconfigured("the drop folder cannot be created: check the permissions of the data folder") from None


def _app(settings: Settings, objects: LocalObjects, folder: Path) -> ASGIApp:
    log = Log("objects", settings.log_level)
    metrics = Metrics()
    relay = Relay(objects.catalog, settings.broker_url, settings.project, metrics, log)
    service = Service(objects, Sessions(objects), metrics, relay.wake)
    loops: dict[str, Callable[[], Awaitable[None]]] = {
        "drop": DropFolder(service, settings.uploads_bucket, folder, log).run,
        "sweep": partial(sweep, service, log),
    }
    if settings.broker_url:
        loops["relay"] = relay.run
    return app(service, loops, log)


if __name__ == "__main__":
    main()
