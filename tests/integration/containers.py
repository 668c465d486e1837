"""Real containers for tests: a process on a free port, scikit-image's photos, a queue that only listens."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import skimage.data
from PIL import Image

PATIENCE = 60.0  # s; the machine may be busy
NAMES = ("astronaut", "chelsea", "coffee")


def photo(name: str = "chelsea", format: str = "JPEG") -> bytes:
    out = BytesIO()
    Image.fromarray(getattr(skimage.data, name)()).save(out, format)
    return out.getvalue()


def sideways(data: bytes) -> bytes:
    """The same JPEG, tagged as taken with the camera turned: upright, width and height are exchanged."""
    image = Image.open(BytesIO(data))
    exif = image.getexif()
    exif[0x0112] = 6
    out = BytesIO()
    image.save(out, "JPEG", exif=exif)
    return out.getvalue()


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError(what)


def offspring(pid: int) -> list[int]:
    """What a process has started, whichever thread did, and what that has started."""
    listings = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for listing in listings for child in listing.read_text().split()]
    return found + [one for child in found for one in offspring(child)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Container:
    process: subprocess.Popen[str]
    url: str

    def answers(self, path: str) -> bool:
        try:
            return httpx.get(self.url + path, timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    def wait_ready(self) -> None:
        wait_for(lambda: self.process.poll() is not None or self.answers("/readyz"), "the model never got ready")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def started(*arguments: str, module: str = "inference_container", **settings: str) -> Iterator[Container]:
    """`python -m MODULE` with MASKLINE_* `settings`; killed at the end if it still runs."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--port", str(port), *arguments],
        env={name: value for name, value in os.environ.items() if not name.startswith("MASKLINE_")} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Container(process, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.communicate()


@dataclass
class Broker:
    """Answers every publish, remembers what it was given."""

    url: str
    published: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # topic, body of the message


@contextmanager
def broker() -> Iterator[Broker]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            topic = self.path.rsplit("/", 1)[1].removesuffix(":publish")
            messages = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"]
            seen.published.extend((topic, json.loads(base64.b64decode(one["data"]))) for one in messages)
            answer = json.dumps({"messageIds": ["1"] * len(messages)}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen = Broker(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def broken_bundle(folder: Path, starter: Path) -> Path:
    """The starter bundle with one byte of its weights changed."""
    weights = bytearray((starter / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    folder.mkdir()
    (folder / "model.json").write_bytes((starter / "model.json").read_bytes())
    (folder / "model.safetensors").write_bytes(weights)
    return folder
