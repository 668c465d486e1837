"""Our network behind TorchServe: a Java frontend forms batches, its Python workers decode, predict and encode.

This file is also the handler that TorchServe's archive holds. It needs Java 17. No longer maintained, it is here
because many still run it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.peer_app import MODEL, READY, Segmenter, options
from benchmarks.processes import free_port

SIZE = 64 << 20  # bytes that a request or an answer may have


class Handler:
    def initialize(self, context: Any) -> None:
        self.segmenter = Segmenter(options())
        self.initialized = True

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        masks = self.segmenter.whole([bytes(row.get("data") or row["body"]) for row in data])
        for at in range(len(masks)):
            context.set_response_content_type(at, "image/png")
        return masks


def settings(given: Namespace, management: int) -> str:
    workers = {"minWorkers": given.workers, "maxWorkers": given.workers, "responseTimeout": 120}
    batches = {"batchSize": given.batch, "maxBatchDelay": int(given.wait_ms)}
    version = {"defaultVersion": True, "marName": f"{MODEL}.mar"} | workers | batches
    lines = {
        "inference_address": f"http://127.0.0.1:{given.port}",
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://127.0.0.1:{free_port()}",
        "grpc_inference_port": free_port(),
        "grpc_management_port": free_port(),
        "max_request_size": SIZE,
        "max_response_size": SIZE,
        "load_models": f"{MODEL}.mar",
        "models": json.dumps({MODEL: {"1": version}}),
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def archive(folder: Path) -> None:
    tool = Path(sys.executable).with_name("torch-model-archiver")
    names = ["--model-name", MODEL, "--version", "1", "--handler", __file__, "--export-path", str(folder)]
    subprocess.run([str(tool), *names], check=True)


def started(folder: Path) -> subprocess.Popen[bytes]:
    program = [str(Path(sys.executable).with_name("torchserve")), "--start", "--foreground", "--disable-token-auth"]
    where = ["--ncs", "--ts-config", str(folder / "config.properties"), "--model-store", str(folder)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # its workers start `python`
    own = {"PATH": path, "TEMP": str(folder), "LOG_LOCATION": str(folder), "METRICS_LOCATION": str(folder)}
    return subprocess.Popen([*program, *where], env=os.environ | own)


def ready_workers(management: int) -> int:
    with suppress(OSError, LookupError), urllib.request.urlopen(f"http://127.0.0.1:{management}/models/{MODEL}") as got:
        return sum(worker["status"] == "READY" for worker in json.load(got)[0]["workers"])
    return 0


def main() -> None:
    given, folder, management = options(), Path(tempfile.mkdtemp()), free_port()
    (folder / "config.properties").write_text(settings(given, management))
    archive(folder)
    process = started(folder)
    while process.poll() is None and ready_workers(management) < given.workers:
        time.sleep(0.5)
    print(*[READY] * given.workers, sep="\n", flush=True)
    sys.exit(process.wait())


if __name__ == "__main__":
    main()
