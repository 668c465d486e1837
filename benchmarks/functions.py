"""Process start to the first response, with real work, of every function as it is deployed, beside a hello-world one.

Each bundle is unpacked into a folder of its own, beside a virtual environment with nothing but its requirements, all
compiled as the platform does (`docs/architecture/06-delivery-pipeline.md`), and served by functions-framework. The
clients are Google's, against the official emulators, the local object server and a stand-in for Cloud Run. The rounds
are interleaved, so that a busy machine slows all alike.

What limits it: importing Google's clients, once per process. `rest` is what could be had without them: a function that
publishes one message by plain REST.

    python -m benchmarks.functions --rounds 9
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import free_port
from benchmarks.report import finish, spread
from deploy import bundle
from shared import pipeline
from tests.deploy.backends import REQUESTS, Backends, Request, backends

HELLO = "def hello(request):\n    return 'hello'\n"
REST = """
import base64, http.client, json, os

def rest(request):
    host, path = os.environ["TOPIC"].split("/", 1)
    connection = http.client.HTTPConnection(host, timeout=10)
    message = {"messages": [{"data": base64.b64encode(b"{}").decode(), "attributes": {"lane": "bulk"}}]}
    connection.request("POST", f"/v1/{path}:publish", json.dumps(message), {"content-type": "application/json"})
    return connection.getresponse().read()
"""
BAR = 2.3  # × hello-world
_PATIENCE = 60.0  # s


@dataclass(frozen=True, slots=True)
class Function:
    """Ready to be started: where it lies, whose Python runs it, and how the framework is told."""

    name: str
    folder: Path
    python: Path
    options: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds until the first response, and of CPU until the process has ended: those hardly feel the neighbours."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, backends(Path(folder) / "data") as behind:
        sizes, stages = unpacked(Path(folder), behind)
        topic = f"{behind.pubsub}/projects/{behind.settings.project}/topics/uploads"
        beside = [plain("hello", HELLO, stages[0], {}), plain("rest", REST, stages[0], {"TOPIC": topic})]
        times = measured([*beside, *stages], behind, rounds)
    report(times, sizes)


def report(starts: Mapping[str, list[Start]], sizes: Mapping[str, int]) -> None:
    wall = ratios({name: [one.wall for one in each] for name, each in starts.items()})
    cpu = ratios({name: [one.cpu for one in each] for name, each in starts.items()})
    for name in starts:
        print(f"{name:8} {wall[name]['median']:.2f} × hello-world, CPU {cpu[name]['median']:.2f} ×")
    finish(
        "functions",
        {
            "rounds": len(starts["hello"]),
            "start_s": {name: spread([one.wall for one in each]) for name, each in starts.items()},
            "cpu_s": {name: spread([one.cpu for one in each]) for name, each in starts.items()},
            "ratio": wall,
            "cpu_ratio": cpu,
            "above_bar": [name for name in sizes if wall[name]["median"] > BAR],
            "bundle_bytes": dict(sizes),
        },
    )


def ratios(seconds: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """To hello-world of the same round."""
    hello = seconds["hello"]
    return {name: spread([took / h for took, h in zip(each, hello, strict=True)]) for name, each in seconds.items()}


def measured(functions: list[Function], behind: Backends, rounds: int) -> dict[str, list[Start]]:
    """Of each round; one round before them warms the file cache and the emulators."""
    times: dict[str, list[Start]] = {function.name: [] for function in functions}
    for number in range(rounds + 1):
        for function in functions:
            took = first_response(function, REQUESTS.get(function.name, greet)(behind))
            if number:
                times[function.name].append(took)
        print(f"round {number} of {rounds}", file=sys.stderr)
    return times


def greet(behind: Backends) -> Request:
    return Request(b"{}", lambda: True)


def first_response(function: Function, request: Request) -> Start:
    """Start it, knock until somebody answers, and see that the work was done."""
    port = free_port()
    command = [str(function.python), "-m", "functions_framework", "--host", "127.0.0.1", "--port", str(port)]
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, *function.options], cwd=function.folder, env=dict(function.environment), stdout=subprocess.DEVNULL
    )
    try:
        status = knock(port, request, began + _PATIENCE)
        took = time.monotonic() - began
    finally:
        process.terminate()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    if not (200 <= status < 300 and request.done()):
        raise RuntimeError(f"{function.name} answered {status}")
    return Start(took, used.ru_utime + used.ru_stime)


def knock(port: int, request: Request, deadline: float) -> int:
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        try:
            connection.connect()
        except ConnectionRefusedError:
            time.sleep(0.002)
            continue
        try:
            return request.send(connection)
        finally:
            connection.close()
    raise TimeoutError("nobody answered")


def unpacked(folder: Path, behind: Backends) -> tuple[dict[str, int], list[Function]]:
    """Every bundle's size and function."""
    sizes, functions = {}, []
    for stage, file in bundle.write(folder / "bundles", bundle.functions()).items():
        where = folder / stage
        sizes[stage] = (folder / "bundles" / file).stat().st_size
        with zipfile.ZipFile(folder / "bundles" / file) as packed:
            packed.extractall(where)
        behind.complete(stage, where)
        compiled(where, "checked-hash")
        functions.append(function(stage, where, environment(where / "requirements.txt"), behind))
    return sizes, functions


def function(stage: str, folder: Path, python: Path, behind: Backends) -> Function:
    row = pipeline.load().stages[stage]
    options = ("--target", row.entry, "--signature-type", row.signature)
    return Function(stage, folder, python, options, clean() | behind.environment(stage) | row.server)


def plain(name: str, source: str, beside: Function, environment: dict[str, str]) -> Function:
    """A function without this project, in another's environment."""
    folder = beside.folder.parent / name
    folder.mkdir()
    (folder / "main.py").write_text(source)
    compiled(folder, "checked-hash")
    return Function(name, folder, beside.python, ("--target", name), clean() | environment)


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("MASKLINE_", "PYTHON"))}


def environment(requirements: Path) -> Path:
    """The Python of a virtual environment with exactly these packages, kept in `build` for the next time."""
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    folder = bundle.ROOT / "build/environments" / key
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=False, symlinks=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile"]
        subprocess.run([*pip, "--no-deps", "-r", str(requirements)], check=True)
        subprocess.run([sys.executable, "-m", "pip", "--python", str(python), "check"], check=True)
        compiled(folder / "lib", "unchecked-hash")
        (folder / "complete").touch()
    return python


def compiled(folder: Path, mode: str) -> None:
    command = [sys.executable, "-m", "compileall", "-qq", "-f", "--invalidation-mode", mode, str(folder)]
    subprocess.run(command, check=False)  # as pip: what does not compile is not imported either


if __name__ == "__main__":
    main()
