"""`python -m inference_container`: serve one model, alone over HTTP or fed by the queue."""

from inference_container import lifecycle  # isort: skip - its clock starts now

import argparse
import os
import socket
import sys
from pathlib import Path

from shared.errors import Misconfigured
from shared.logs import Log
from shared.prediction import STABLE
from shared.settings import Settings


def main() -> int:
    arguments = _parser().parse_args()
    try:
        settings = Settings.from_env()
        listener = _bind(arguments.host, arguments.port)
        model = arguments.model or settings.model
        loading = lifecycle.load_in_thread(Path(model) if model else None, arguments.device, settings.max_batch)
        from inference_container.server import serve  # after the port is bound: it takes a while to import

        failure = serve(settings, listener, loading, Log("segment", settings.log_level), arguments)
    except Misconfigured as error:
        failure = str(error)
    if failure:
        print(failure, file=sys.stderr)
    return 1 if failure else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference_container", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--model", default="", help="bundle folder; without it, the starter model")
    parser.add_argument("--queue", action="store_true", help="take work from the queue, too: POST /push")
    parser.add_argument("--arm", default=STABLE, help="the arm of a rollout that this instance serves")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    return parser


def _bind(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=2048)
    except (OSError, OverflowError) as error:
        raise Misconfigured(f"port {port} cannot be used: {getattr(error, 'strerror', None) or error}") from None


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads that still wait for storage or a worker must not hold up the end
