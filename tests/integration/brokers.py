"""Brokers for tests, in this process or as the real one, and a subscriber that answers as it is told."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from local.broker.broker import Broker
from local.broker.filters import compile_filter
from local.broker.queue import Policy
from local.broker.routes import Route
from local.broker.store import Store
from shared.logs import Log
from shared.settings import Settings
from tests.integration.containers import PATIENCE, free_port, wait_for

Answer = tuple[int, Mapping[str, str]]  # status, headers


@dataclass(frozen=True, slots=True)
class Pushed:
    path: str
    envelope: Any

    @property
    def attributes(self) -> dict[str, str]:
        attributes: dict[str, str] = self.envelope["message"]["attributes"]
        return attributes

    @property
    def text(self) -> str:
        return base64.b64decode(self.envelope["message"]["data"]).decode()

    @property
    def attempt(self) -> int:
        return int(self.envelope["deliveryAttempt"])


@dataclass
class Subscriber:
    """`answer` decides for each push; what it raises or how long it waits is up to it."""

    url: str = ""
    answer: Callable[[Pushed], Answer] = lambda _: (204, {})
    pushes: list[Pushed] = field(default_factory=list)
    most: int = 0  # pushes that were open at once
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, push: Pushed) -> Answer:
        with self._lock:
            self.pushes.append(push)
            self._open += 1
            self.most = max(self.most, self._open)
        try:
            return self.answer(push)
        finally:
            with self._lock:
                self._open -= 1

    def texts(self, path: str = "/push") -> list[str]:
        return [push.text for push in list(self.pushes) if push.path == path]


@contextmanager
def subscriber() -> Iterator[Subscriber]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, headers = seen.take(Pushed(self.path, body))
            self.send_response(status)
            for name, value in {"content-length": "0", **headers}.items():
                self.send_header(name, value)
            try:
                self.end_headers()
            except OSError:
                pass  # the broker has gone, or has given this push up

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A broken connection is the broker's right."""

    server = Server(("127.0.0.1", 0), Handler)
    seen = Subscriber(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# -- in this process, with times of the test's own

POLICY: Mapping[str, Any] = {
    "ack_deadline": 30.0,
    "retry_min": 0.01,
    "retry_max": 0.1,
    "max_delivery_attempts": 100,
    "max_outstanding": 16,
    "retention": 3600.0,
}


@asynccontextmanager
async def running(folder: Path, url: str, filter: str = "", **changes: Any) -> AsyncIterator[Broker]:
    """Topic `work` pushed to /push, its dead letters to /dead."""
    policy = Policy(**{**POLICY, **changes})
    routes = [
        Route("work", "work", url, "/push", compile_filter(filter), "work-dead", policy),
        Route("dead", "work-dead", url, "/dead", compile_filter(""), "nowhere", Policy(**POLICY)),
    ]
    store = Store(folder / "broker.db")
    broker = Broker("p", ("work", "work-dead", "nowhere"), routes, store, Log("broker", "ERROR"))
    writer = asyncio.create_task(store.run())
    broker.start()
    try:
        yield broker
    finally:
        await broker.stop()
        store.close()
        await writer


async def until(condition: Callable[[], Any], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(what) from None


# -- the real process


@dataclass
class Process:
    process: subprocess.Popen[str]
    url: str

    def publish(self, topic: str, texts: list[str], **attributes: str) -> list[str]:
        messages = [{"data": base64.b64encode(text.encode()).decode(), "attributes": attributes} for text in texts]
        answer = self.post(topic, {"messages": messages})
        answer.raise_for_status()
        ids: list[str] = answer.json()["messageIds"]
        return ids

    def post(self, topic: str, body: Any, project: str = "maskline-local") -> httpx.Response:
        return httpx.post(f"{self.url}/v1/projects/{project}/topics/{topic}:publish", json=body, timeout=PATIENCE)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=PATIENCE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)


def start(folder: Path, url: str, endpoints: str = "", **settings: Any) -> Process:
    """`python -m local.broker`, every stage at `url` unless `endpoints` (JSON) says otherwise; not waited for."""
    port = free_port()
    chosen = Settings.from_env({}, **{"data": folder, "sweep_seconds": 3600} | settings)
    stages = json.dumps({stage: f"{url}/{stage}" for stage in ("accept", "settle", "segment")})
    process = subprocess.Popen(
        [sys.executable, "-m", "local.broker", "--port", str(port), "--endpoints", endpoints or stages],
        env=chosen.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Process(process, f"http://127.0.0.1:{port}")


@contextmanager
def started(folder: Path, url: str, **settings: Any) -> Iterator[Process]:
    broker = start(folder, url, **settings)
    try:
        wait_for(lambda: broker.process.poll() is not None or _healthy(broker), "the broker never got healthy")
        assert broker.process.poll() is None
        yield broker
    finally:
        broker.process.kill()
        broker.process.communicate()


def _healthy(broker: Process) -> bool:
    try:
        return broker.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
