"""The HTTP server around the app: uvicorn on uvloop, a drain before the end, exit status 0 after SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import socket
from concurrent.futures import Future
from types import FrameType

import uvicorn
import uvloop

from inference_container.admission import Admission
from inference_container.app import make_app
from inference_container.claims import Claims
from inference_container.lifecycle import InstanceRecord, Loaded
from inference_container.service import Service
from shared.logs import Log
from shared.settings import Settings

GRACE = 8  # s from SIGTERM until open requests are cut off
_LOCAL_THREADS = 2  # they only read there: writes go together, on threads of their own
_LONGEST_PAUSE = 0.1  # s


def serve(
    settings: Settings, listener: socket.socket, loading: Future[Loaded], log: Log, arguments: argparse.Namespace
) -> str:
    """Serve until SIGTERM, SIGINT or a failure; returns the line that says why it failed, or ""."""
    # uvicorn raises the signal again once it has stopped: with handlers that do nothing, the exit status is 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, listener, loading, log, arguments))


async def _serve(
    settings: Settings, listener: socket.socket, loading: Future[Loaded], log: Log, arguments: argparse.Namespace
) -> str:
    service = Service(settings, log, lambda: setattr(server, "should_exit", True))
    app = make_app(service, loading, _claims(service, arguments.arm) if arguments.queue else None)
    config = uvicorn.Config(
        app,
        http="httptools",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nobody asks where a request comes from
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE,
    )
    server = _Server(config, service)
    await server.serve(sockets=[listener])
    return service.failure


def _claims(service: Service, arm: str) -> Claims:
    """The queue's side, and the record that says this instance is there."""
    from shared.runtime import connect  # alone, an instance needs none of this

    runtime = connect(service.settings)
    service.record = InstanceRecord(runtime.documents, secrets.token_hex(8), arm, service.log)
    threads = _LOCAL_THREADS if runtime.together else service.admission.limit
    return Claims(runtime, threads, lambda: pause_of(service.admission))


def pause_of(admission: Admission) -> float:
    """Seconds that a write may wait for company: an eighth of what the others in here keep the device busy. Three such
    waits per photo leave the device with work; a photo that is alone does not wait."""
    return min(_LONGEST_PAUSE, (admission.inside - 1) * admission.seconds_per_photo / 8)


class _Server(uvicorn.Server):
    """Tells the service at once that the end is near; uvicorn itself would tell it last."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._loop.call_soon_threadsafe(self._service.stop)
