"""Our container and its peers as processes: how each is started, when it is ready, and that it ends.

Nothing waits for ever: a server that gives no first mask in time, or whose process ends, raises `Failed`. What a server
says goes into a file of its own, whose last lines tell why.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from benchmarks.forms import RAW, V2_BASE64, V2_BINARY
from benchmarks.load import Target, burst
from benchmarks.offspring import Offspring, offspring
from benchmarks.peer_app import MODEL, READY
from benchmarks.processes import free_port

ROOT = Path(__file__).resolve().parents[1]
CORES = len(os.sched_getaffinity(0))
FIRST_MASK = 240.0  # s from the start until every worker is ready and a photo is answered; machines are shared
ONE_PHOTO = 20.0  # s; then it is asked for again
STOPPING = 15.0  # s until a server that was told to end is killed
PATIENCE = 180.0  # s that a load may last beyond its window
LINES = 12  # of a failed server's log

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}


PROTOCOLS = {
    "": ("/v1/segment", RAW),
    "pytriton": (f"/v2/models/{MODEL}/infer", V2_BINARY),
    "mlserver": (f"/v2/models/{MODEL}/infer", V2_BASE64),
    "torchserve": (f"/predictions/{MODEL}", RAW),
}


class Failed(Exception):
    """A server did not do its part."""


@dataclass(frozen=True, slots=True)
class Server:
    """`kind`: ours, tuned, documented or naive. `package`: the venv it runs in; empty for our own container."""

    name: str
    kind: str
    package: str = ""
    workers: int = 1
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)

    def command(self, python: Path, port: int) -> list[str]:
        if not self.package:
            return [str(python), "-m", "inference_container", "--port", str(port), "--device", "cpu"]
        module = f"benchmarks.peer_{self.package}"
        return [str(python), "-m", module, "--port", str(port), "--workers", str(self.workers), *self.arguments]

    def target(self, port: int) -> Target:
        path, form = PROTOCOLS.get(self.package, ("/predict", RAW))
        return Target(port, path, PATIENCE, form)


def _peer(name: str, package: str, kind: str, workers: int, *arguments: str) -> Server:
    return Server(f"{package}, {name}", kind, package, workers, arguments, ALLOCATOR if kind == "tuned" else {})


OURS = Server("ours", "ours")
ONE_THREAD = ("--threads", "1")
TUNED = (*ONE_THREAD, "--fold")
PEERS = (
    _peer("tuned", "fastapi", "tuned", CORES, *TUNED, "--at-once", "2"),
    _peer("tuned", "litserve", "tuned", CORES, *TUNED),
    _peer("tuned, batch 4", "litserve", "tuned", CORES, *TUNED, "--batch", "4"),
    _peer("as documented", "fastapi", "documented", 1),
    _peer("as documented, workers", "fastapi", "documented", CORES, *ONE_THREAD),
    _peer("as documented", "litserve", "documented", CORES, *ONE_THREAD, "--batch", "8"),
    *(
        row
        for package in ("pytriton", "ray", "mlserver", "torchserve")
        for row in (
            _peer("tuned", package, "tuned", CORES, *TUNED, "--batch", "4"),
            _peer("as documented", package, "documented", CORES, *ONE_THREAD, "--batch", "8"),
        )
    ),
    _peer("tuned", "bentoml", "tuned", CORES, *TUNED, "--at-once", "2"),
    _peer("as documented", "bentoml", "documented", CORES, *ONE_THREAD, "--batch", "8"),
    _peer("naive", "fastapi", "naive", CORES, *ONE_THREAD, "--path", "naive"),
)


@contextmanager
def serving(server: Server, python: Path, log: Path, photo: bytes) -> Iterator[tuple[Target, Offspring]]:
    """The server from its first mask on: where it listens and its processes, of which none survives."""
    target = server.target(free_port())
    with offspring() as started, log.open("w") as file:
        process = _started(server.command(python, target.port), server.environ, file)
        try:
            wait_until_ready(server, target, photo, process, log)
            yield target, started
        finally:
            _end(process)


def _started(command: Sequence[str], environ: Mapping[str, str], log: IO[str]) -> subprocess.Popen[bytes]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MASKLINE_")}
    return subprocess.Popen(
        command, env=own | {"PYTHONPATH": str(ROOT)} | dict(environ), cwd=ROOT,
        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def wait_until_ready(server: Server, target: Target, photo: bytes, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + FIRST_MASK
    wanted = server.workers if server.package else 0
    answer = "nothing"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failed(f"ended with status {process.returncode} before its first mask")
        if log.read_text("utf-8", "replace").count(READY) >= wanted:
            answer = asked_once(target, photo)
            if answer == "200":
                return
        time.sleep(0.1)
    raise Failed(f"no mask within {FIRST_MASK:.0f} s; last answer: {answer}")


def asked_once(target: Target, photo: bytes) -> str:
    """The status, or what went wrong instead."""
    try:
        outcome = burst(replace(target, patience=ONE_PHOTO), [photo])
    except OSError as error:
        return type(error).__name__
    return " ".join(str(one) for one in [*outcome.statuses(), *outcome.errors])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its group is asked, as a shell would; what outlives that is killed with the rest of its offspring."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOPPING)
    process.kill()
    process.wait(STOPPING)


def tail(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    return "\n".join(f"    {line}" for line in lines[-LINES:])


def chosen(only: Sequence[str]) -> list[Server]:
    """Ours, and the peers whose name has one of the words; without words all."""
    return [OURS, *(peer for peer in PEERS if not only or any(word in peer.name for word in only))]
