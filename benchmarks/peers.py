"""Our container beside other servers with the same network, in the same rounds, with the same client.

    python -m benchmarks.peers VENVS --rounds 5

VENVS is a folder outside the project with one venv per peer (`fastapi`, `litserve`), each with this project's versions
of torch, numpy, pillow and safetensors beside the peer. Peers whose venv is missing are left out, and that is said.

    python -m venv VENVS/fastapi && VENVS/fastapi/bin/pip install torch==2.13.0 numpy pillow safetensors \
        fastapi 'uvicorn[standard]'
    python -m venv VENVS/litserve && VENVS/litserve/bin/pip install torch==2.13.0 numpy pillow safetensors litserve

Three ways to run a peer: tuned by us (two processes of one torch thread, no batches, allocator thresholds, our decode
and encode), as documented with our decode and encode, and as documented with the naive path. What limits all of them
is the model on the same two cores; what differs is copies between processes, fairness, and the path around the model.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ceiling import ceiling
from benchmarks.container import CLIENTS, EACH
from benchmarks.load import Outcome, Target, burst, closed, opened, percentile
from benchmarks.masks import Masks
from benchmarks.memory import pss
from benchmarks.photos import photos
from benchmarks.processes import Busy, container, family, free_port
from benchmarks.report import finish, spread

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
CAP = 180.0  # s until a server must have answered its first photo; machines are shared


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    package: str
    arguments: tuple[str, ...]
    tuned: bool = False


_TUNED = ("--workers", "2", "--threads", "1")
PEERS = (
    Peer("fastapi, tuned", "fastapi", _TUNED, tuned=True),
    Peer("litserve, tuned", "litserve", _TUNED, tuned=True),
    Peer("fastapi, as documented", "fastapi", ()),
    Peer("litserve, as documented", "litserve", ("--workers", "2", "--batch", "8")),
    Peer("fastapi, naive", "fastapi", ("--path", "naive")),
    Peer("litserve, naive", "litserve", ("--path", "naive", "--workers", "2", "--batch", "8")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("venvs", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    present = [peer for peer in PEERS if (options.venvs / peer.package / "bin/python").exists()]
    for package in sorted({peer.package for peer in PEERS} - {peer.package for peer in present}):
        print(f"{package} is not installed: left out", file=sys.stderr)
    rows = rounds(present, options)
    names = ["ours", *(peer.name for peer in present)]
    for name in names:
        print(name, {key: value["median"] for key, value in summary(rows, name).items()}, file=sys.stderr)
    finish("peers", {"rounds": options.rounds, "servers": {name: summary(rows, name) for name in names}})


Figures = dict[str, float]


def rounds(present: Sequence[Peer], options: argparse.Namespace) -> list[dict[str, Figures]]:
    files = list(photos(4 * EACH))
    found: list[dict[str, Figures]] = []
    with tempfile.TemporaryDirectory() as name:
        for number, data in enumerate(files):
            (Path(name) / f"{number}.jpg").write_bytes(data)
        with ceiling(Path(name), "cpu", len(os.sched_getaffinity(0))) as limit:
            masks = Masks(limit.masks())
            for _ in range(options.rounds):
                row = {"ceiling": {"images_per_s": limit.measure(options.seconds).images_per_s}}
                with container() as server:
                    row["ours"] = measured(Target(server.port), server.pid, files, masks, options.seconds)
                for peer in present:
                    with running(peer, options.venvs, files[0]) as (target, pid):
                        row[peer.name] = measured(target, pid, files, masks, options.seconds)
                found.append(row)
    return found


def measured(target: Target, pid: int, files: Sequence[bytes], masks: Masks, seconds: float) -> Figures:
    closed(target, files, CLIENTS, 0, 2)
    busy = Busy()
    full = closed(target, files, CLIENTS, 1, seconds)
    cores = busy.cores()
    memory = sum(pss(one) for one in family(pid))
    steady = opened(target, files, 0.7 * full.images_per_s, 1, seconds)
    times, late = full.latencies(), steady.latencies()
    return {
        "images_per_s": full.images_per_s,
        "p50_ms": percentile(times, 0.5) * 1000,
        "p99_ms": percentile(times, 0.99) * 1000,
        "fairness": percentile(times, 0.99) / percentile(times, 0.5),
        "open_p99_ms": percentile(late, 0.99) * 1000,
        "memory_mb": memory,
        "machine_cores": cores,
        "right_beside_damaged": beside_damaged(target, files),
        "errors": sum(failures(outcome) for outcome in (full, steady)),
        "wrong_masks": sum(masks.wrong(at, mask) for (at, _), mask in {**full.bodies, **steady.bodies}.items()),
    }


def failures(outcome: Outcome) -> int:
    return sum(outcome.errors.values()) + sum(answer.status != 200 for answer in outcome.answers)


def beside_damaged(target: Target, files: Sequence[bytes]) -> int:
    """Right answers of 31 beside a damaged photo."""
    return len(burst(target, [*files[: CLIENTS - 1], b"\xff\xd8\xff" + bytes(1000)]).latencies())


@contextmanager
def running(peer: Peer, venvs: Path, photo: bytes) -> Iterator[tuple[Target, int]]:
    target = Target(free_port(), "/predict")
    command = [str(venvs / peer.package / "bin/python"), "-m", f"benchmarks.peer_{peer.package}", *peer.arguments]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MASKLINE_")}
    environ |= {"PYTHONPATH": str(Path(__file__).parents[1])} | (ALLOCATOR if peer.tuned else {})
    process = subprocess.Popen(
        [*command, "--port", str(target.port)],
        env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for_mask(target, photo, process)
        yield target, process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        stop_rest(process.pid)
        process.wait()


def stop_rest(group: int) -> None:
    """Workers that outlived their server; the group is our own."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def wait_for_mask(target: Target, photo: bytes, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + CAP
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if burst(target, [photo]).latencies():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the peer gave no mask")


def summary(rows: Sequence[dict[str, Figures]], name: str) -> dict[str, dict[str, float]]:
    keys = rows[0][name]
    ratios = {
        "of_ceiling": [row[name]["images_per_s"] / row["ceiling"]["images_per_s"] for row in rows],
        "ours_over_this": [row["ours"]["images_per_s"] / row[name]["images_per_s"] for row in rows],
        "our_open_p99_over_this": [row["ours"]["open_p99_ms"] / row[name]["open_p99_ms"] for row in rows],
    }
    return {key: spread([row[name][key] for row in rows]) for key in keys} | {
        key: spread(values) for key, values in ratios.items()
    }


if __name__ == "__main__":
    main()
