"""The local object server on a thread of this process: its app as it is, on a data folder of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from local.objects.app import app
from local.objects.metrics import Metrics
from local.objects.service import Service
from local.objects.sessions import Sessions
from shared.adapters.local.objects import LocalObjects
from shared.logs import Log


@contextmanager
def serving(objects: LocalObjects, around: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> Iterator[str]:
    """The base URL. `around` may put something between the client and the app."""
    service = Service(objects, Sessions(objects), Metrics(), lambda: None)
    served = around(app(service, {}, Log("objects")))
    config = uvicorn.Config(served, http="httptools", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
