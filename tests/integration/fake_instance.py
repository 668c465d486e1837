"""A script in place of the inference container: an HTTP server that does what files in its data folder say.

`broken`: it fails with this text. `slow`: it is not ready. `held`: pushes wait. `stubborn`: SIGTERM changes nothing.
A push with the body `die` ends the process.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--queue", action="store_true", required=True)
parser.add_argument("--port", type=int)
parser.add_argument("--arm")
parser.add_argument("--model", default="")
options = parser.parse_args()
folder = Path(os.environ["MASKLINE_DATA"]) / "fake"
stopping = threading.Event()
inside: set[int] = set()
most = 0


def told(what: str) -> bool:
    return (folder / what).exists()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(503 if self.path == "/readyz" and told("slow") else 200)

    def do_POST(self) -> None:
        global most
        inside.add(threading.get_ident())
        most = max(most, len(inside))
        if self.rfile.read(int(self.headers["content-length"])) == b"die":
            os._exit(9)
        while told("held") and not stopping.is_set():
            time.sleep(0.01)
        self.answer(503 if stopping.is_set() else 200)
        inside.discard(threading.get_ident())

    def answer(self, status: int) -> None:
        body = json.dumps({"pid": os.getpid(), "arm": options.arm, "model": options.model, "most": most}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


if told("broken"):
    sys.exit((folder / "broken").read_text())
signal.signal(signal.SIGTERM, lambda *_: None if told("stubborn") else stopping.set())
server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
while not stopping.is_set() or inside:
    time.sleep(0.01)
os._exit(0)
