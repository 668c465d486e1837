"""A subscriber that remembers every push, and refuses a message as often as its attribute `failures` says."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shared.envelope import Push, decode

STAGES = ("accept", "settle", "segment")


class Subscriber:
    """Its URL stands for every stage's."""

    def __init__(self) -> None:
        self.url = ""
        self._lock = threading.Lock()
        self._pushes: dict[str, list[tuple[str, Push]]] = defaultdict(list)  # by message id, with the path

    def endpoints(self) -> dict[str, str]:
        return {stage: f"{self.url}/{stage}" for stage in STAGES}

    def pushes(self, message_id: str) -> list[tuple[str, Push]]:
        with self._lock:
            return list(self._pushes[message_id])

    def take(self, path: str, push: Push) -> int:
        """The status to answer with."""
        with self._lock:
            seen = self._pushes[push.message_id]
            seen.append((path, push))
            return 503 if len(seen) <= int(push.attributes.get("failures", "0")) else 204


@contextmanager
def listening() -> Iterator[Subscriber]:
    subscriber = Subscriber()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            push = decode(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(subscriber.take(self.path, push))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True  # connections that the broker keeps open
    subscriber.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield subscriber
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
