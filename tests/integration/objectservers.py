"""Real object servers for tests: a process on a free port, and what it leaves on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from shared.adapters.local.objects import LocalObjects
from shared.errors import NotFound
from shared.ports import Method, SignedRequest
from tests.integration.containers import PATIENCE, free_port, wait_for


@dataclass
class ObjectServer:
    """A running server, and the same storage seen from this process."""

    process: subprocess.Popen[bytes]
    url: str
    data: Path
    objects: LocalObjects

    def sign(
        self,
        name: str,
        method: Method = "PUT",
        content_type: str = "image/jpeg",
        max_bytes: int = 1000,
        seconds: float = 300,
        bucket: str = "uploads",
    ) -> SignedRequest:
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        bound = ("", 0) if method == "GET" else (content_type, max_bytes)
        return self.objects.sign(method, bucket, name, expires, *bound)

    def exists(self, name: str, bucket: str = "uploads") -> bool:
        try:
            self.objects.stat(bucket, name)
        except NotFound:
            return False
        return True

    @property
    def drop(self) -> Path:
        return self.data / "buckets" / "uploads"

    def parts(self) -> list[str]:
        """Files of uploads that are under way."""
        folder = self.data / "objects" / "tmp"
        return os.listdir(folder) if folder.exists() else []

    def metric(self, name: str) -> float:
        lines = httpx.get(self.url + "/metrics", timeout=PATIENCE).text.splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.rsplit(" ", 1)[0] == name), 0.0)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def object_server(data: Path, broker_url: str = "") -> Iterator[ObjectServer]:
    """`python -m local.objects` over `data`; killed at the end if it still runs."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "local.objects", "--port", url.rpartition(":")[2]]
    with (data / "objects.log").open("ab") as log:
        process = subprocess.Popen(command, env=_environment(data, url, broker_url), stdout=log, stderr=log)
    server = ObjectServer(process, url, data, LocalObjects(data, url))
    try:
        wait_for(lambda: process.poll() is not None or _healthy(url), "the object server did not start")
        yield server
    finally:
        server.kill()
        server.objects.close()


def logged(data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (data / "objects.log").read_text().splitlines()]


def _environment(data: Path, url: str, broker_url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MASKLINE_")}
    return kept | {"MASKLINE_DATA": str(data), "MASKLINE_URL": url, "MASKLINE_BROKER_URL": broker_url}


def _healthy(url: str) -> bool:
    try:
        return httpx.get(url + "/healthz", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


@dataclass
class Topic:
    """What a broker was given, in the order of its arrival; `status` is what it answers from now on."""

    url: str
    status: int = 200
    names: list[str] = field(default_factory=list)  # of the objects whose notifications it accepted
    requests: int = 0


@contextmanager
def listening(port: int = 0) -> Iterator[Topic]:
    """A broker that takes notifications as the real one does, and only remembers them."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            topic.requests += 1
            if topic.status == 200:
                topic.names += [json.loads(b64decode(one["data"]))["name"] for one in body["messages"]]
            answer = json.dumps({"messageIds": ["1"] * len(body["messages"])}).encode()
            self.send_response(topic.status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True  # connections that the relay keeps open
    topic = Topic(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield topic
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
