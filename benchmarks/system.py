"""The whole local system beside the container alone, on the same photos, in the same run.

What limits it: the container's decode, forward and encode take nearly all the time of both cores; everything around
them (notification, accept, broker, scaler, three durable document writes per photo) competes for the same cores. The
ratio says what the promise "every photo ends once, also under kill -9" costs in throughput.

    python -m benchmarks.system --photos 1000

The photos lie in the bucket before the clock starts: the object server is paused while they are written, so all
notifications are pending, and goes on when the clock starts. The instance is warm. The cache is off. The container
alone is measured before and after, to see the machine drift. CPU milliseconds per photo, by role, say where the
difference goes; other load on the machine moves them far less than it moves images/s.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.photos import photos
from benchmarks.processes import container, family_cpu_seconds, free_port
from benchmarks.report import finish
from local.runfiles import processes
from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects

CLIENTS = 32
ENDS = ("SUCCEEDED", "FAILED", "REJECTED", "CANCELLED", "EXPIRED")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1000)
    count = parser.parse_args().photos
    print(f"drawing {count} photos", file=sys.stderr)
    files = list(photos(count))
    before, alone_cpu = container_alone(files)
    system, system_cpu, counts = whole_system(files)
    after, _ = container_alone(files)
    alone = (before + after) / 2
    print(f"container alone {before:.1f} and {after:.1f} images/s, whole system {system:.1f}: {system / alone:.3f}")
    print(f"CPU ms per photo: {alone_cpu} alone, {system_cpu} in the whole system")
    finish(
        "system",
        {
            "photos": count,
            "container_images_per_s": [round(before, 2), round(after, 2)],
            "system_images_per_s": round(system, 2),
            "ratio": round(system / alone, 4),
            "container_cpu_ms": alone_cpu,
            "system_cpu_ms": system_cpu,
            "states": counts,
        },
    )


def container_alone(files: list[bytes]) -> tuple[float, float]:
    """Images/s of `POST /v1/segment` with 32 closed-loop clients, warm, and CPU ms per photo."""
    with container() as running:
        segment(running.port, files[:CLIENTS])
        used, started = family_cpu_seconds(running.pid), time.monotonic()
        segment(running.port, files)
        elapsed = time.monotonic() - started
        return len(files) / elapsed, round(1000 * (family_cpu_seconds(running.pid) - used) / len(files), 2)


def segment(port: int, files: list[bytes]) -> None:
    local = threading.local()

    def one(body: bytes) -> None:
        while True:
            if not hasattr(local, "connection"):
                local.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            local.connection.request("POST", "/v1/segment", body, {"Content-Type": "image/jpeg"})
            answer = local.connection.getresponse()
            answer.read()
            if answer.status == 200:
                return
            if answer.status not in (429, 503):
                raise RuntimeError(f"the container answered {answer.status}")
            time.sleep(float(answer.headers.get("Retry-After", 1)))

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, files))


def whole_system(files: list[bytes]) -> tuple[float, dict[str, float], dict[str, int]]:
    """Images/s from the first notification to the last commit, CPU ms per photo, how many ended in which state."""
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder)) as pids:
        warm(Path(folder), files[0])
        objects = LocalObjects(Path(folder))
        os.kill(pids["objects"], signal.SIGSTOP)
        for number, body in enumerate(files):
            objects.put("uploads", f"users/bench/{number:06d}.jpg", body, "image/jpeg")
        roles = {row.role: row.pid for row in processes(Path(folder))}
        used, started = cpu_by_role(roles), time.monotonic()
        os.kill(pids["objects"], signal.SIGCONT)
        ended = watch_until_ended(Path(folder), len(files) + 1)
        elapsed = time.monotonic() - started
        spent = {role: round((ms - used[role]) / len(files), 2) for role, ms in cpu_by_role(roles).items()}
        return len(files) / elapsed, spent, ended


@contextmanager
def stack(folder: Path) -> Iterator[dict[str, int]]:
    environ = os.environ | {"MASKLINE_CACHE": "off", "MASKLINE_IDLE_SECONDS": "600"}
    command = [sys.executable, "-m", "cli.main", "up", "--no-samples", "--port", str(free_port()), "--data", folder]
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        listing = subprocess.run(
            [sys.executable, "-m", "cli.main", "ps", "--json", "--data", str(folder), "--url", url],
            capture_output=True,
            text=True,
            check=True,
        )
        yield {row["role"]: row["pid"] for row in json.loads(listing.stdout)}
    finally:
        process.terminate()
        process.wait(30)


def warm(folder: Path, body: bytes) -> None:
    LocalObjects(folder).put("uploads", "users/bench/warm.jpg", body, "image/jpeg")
    wait_until_ended(LocalDocuments(folder / "documents.db"), 1)


def wait_until_ended(documents: LocalDocuments, count: int, seconds: float = 900, pause: float = 0.5) -> dict[str, int]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        rows = documents.query("predictions", [("state", "in", list(ENDS))], limit=count + 1)
        if len(rows) >= count:
            return {end: sum(row.data["state"] == end for row in rows) for end in ENDS}
        print(f"\r{len(rows)} of {count}", end="", file=sys.stderr)
        time.sleep(pause)
    raise TimeoutError("not every photo ended")


def watch_until_ended(folder: Path, count: int, seconds: float = 900) -> dict[str, int]:
    """As `wait_until_ended`, but the database counts: reading every document would load what is measured."""
    question = (
        "SELECT count(*) FROM documents WHERE collection = 'predictions' AND json_extract(data, '$.\"state\"') = ?"
    )
    deadline = time.monotonic() + seconds
    with closing(sqlite3.connect(f"file:{folder / 'documents.db'}?mode=ro", uri=True)) as connection:
        while time.monotonic() < deadline:
            counts = {end: int(connection.execute(question, (end,)).fetchone()[0]) for end in ENDS}
            if sum(counts.values()) >= count:
                return counts
            time.sleep(0.05)
    raise TimeoutError("not every photo ended")


def cpu_by_role(pids: Mapping[str, int]) -> dict[str, float]:
    """Milliseconds so far, of each role's processes."""
    return {role: 1000 * family_cpu_seconds(pid) for role, pid in pids.items()}


if __name__ == "__main__":
    main()
