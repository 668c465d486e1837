"""`python -m local.function STAGE --port N`: one function of `pipeline.yaml` under functions-framework, on loopback.

The file that runs is the one that is deployed, and so is the server: gunicorn with the threads of its concurrency, or
its uvicorn worker for an async function. Only `GET /healthz` is added, which Cloud Run does not ask functions for; the
API has its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import functions_framework
import gunicorn.app.base
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from local import child
from shared import pipeline
from shared.errors import Misconfigured

_FUNCTIONS = Path(__file__).resolve().parent.parent / "functions"
_GRACE = 3  # s that open requests get after SIGTERM
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Server(gunicorn.app.base.BaseApplication):  # type: ignore[misc]
    """The framework's own gunicorn application, on loopback and with a short grace."""

    def __init__(self, app: Any, options: dict[str, Any]) -> None:
        self._app = app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for key, value in self._options.items():
            self.cfg.set(key, value)

    def load(self) -> Any:
        return self._app


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m local.function", description="Run one function on this machine.")
    parser.add_argument("stage", help="a stage of pipeline.yaml whose runtime is a function")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    stage = pipeline.load().stages.get(options.stage)
    if stage is None or stage.runtime != "function":
        raise SystemExit(f"pipeline.yaml has no function {options.stage!r}")
    try:
        serve(stage, options.port)
    except Misconfigured as error:
        raise SystemExit(str(error)) from None


def serve(stage: pipeline.Stage, port: int) -> None:
    source = str(_FUNCTIONS / stage.name / "main.py")
    options: dict[str, Any] = {
        "bind": f"127.0.0.1:{port}",
        "workers": 1,
        "timeout": 0,
        "graceful_timeout": _GRACE,
        "keepalive": 75,
        "loglevel": "error",
        "limit_request_line": 0,
        "control_socket_disable": True,
        "post_fork": _with_its_master,
    }
    if stage.asynchronous:
        from functions_framework.aio import create_asgi_app

        app = create_asgi_app(stage.entry, source, stage.signature)  # type: ignore[no-untyped-call]
        worker: dict[str, Any] = {"worker_class": "uvicorn_worker.UvicornWorker"}
        healthy = app if stage.public else with_health_async(app)
    else:
        flask = functions_framework.create_app(stage.entry, source, stage.signature)  # type: ignore[no-untyped-call]
        worker = {"worker_class": "gthread", "threads": stage.concurrency}
        healthy = with_health(flask.wsgi_app)
    Server(healthy, options | worker).run()


def _with_its_master(arbiter: Any, worker: Any) -> None:
    """The kernel kills the master with `up`; uvicorn's worker would not even notice."""
    child.die_with(arbiter.pid)


def with_health(app: Wsgi) -> Wsgi:
    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            return app(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
        return [b"ok\n"]

    return answer


def with_health_async(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["path"] == "/healthz"
        await (PlainTextResponse("ok\n") if asked else app)(scope, receive, send)

    return answer


if __name__ == "__main__":
    main()
