"""Our container beside other servers with the same network, in the same rounds, with the same client.

    python -m benchmarks.peers --rounds 5
    python -m benchmarks.peers --rounds 1 --seconds 2 --only litserve     # does it run?

The peers' venvs are made in `--venvs` when they are missing (`peer_venvs`), with the versions in `peer_constraints.txt`
or in the peer's own list in `peer_pins`. Three ways to run a peer: tuned by us (the network as our container loads it,
a process of one torch thread per core, allocator thresholds, few photos at once, our decode and encode), as documented
with the network as trained and our decode and encode, and the same with the naive path. What limits all of them is the
model on the same cores; what differs is copies between processes, fairness, and the path around the model.

Each round measures the offline ceiling, then every server in turn, beginning with another one each time: 32
closed-loop clients, open loop at 70 % of what they got, 31 photos beside a damaged one. Everything has a deadline: a
server that fails is reported with the last lines of its log, the others go on, and after a second failure it is left
out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.ceiling import Ceiling, ceiling
from benchmarks.container import CLIENTS, EACH
from benchmarks.load import Outcome, Target, burst, closed, opened, percentile
from benchmarks.masks import LEAST, Masks, agreement, pixels
from benchmarks.memory import pss
from benchmarks.offspring import Offspring
from benchmarks.peer_app import plain_masks
from benchmarks.peer_ratios import CEILING, LATE, RATE, Figures, Row, summary
from benchmarks.peer_servers import CORES, PATIENCE, ROOT, Failed, Server, chosen, serving, tail
from benchmarks.peer_venvs import EXTRAS, NotMade, python, version
from benchmarks.photos import photos
from benchmarks.processes import Busy, cpu_seconds
from benchmarks.report import finish, spread

NAIVE_LEAST = 0.9  # of the pixels: it decodes, resizes and enlarges in another way
TRIES = 2
DAMAGED = b"\xff\xd8\xff" + bytes(1000)
SHORT = 30.0  # s that a burst may last


@dataclass(frozen=True, slots=True)
class Bench:
    files: list[bytes]
    limit: Ceiling
    reference: list[bytes]  # of the network as our container loads it
    plain: list[bytes]  # of the network as trained
    seconds: float
    logs: Path
    pythons: dict[str, Path]
    failures: dict[str, list[str]] = field(default_factory=dict)

    def masks(self, kind: str) -> Masks:
        if kind in ("ours", "tuned"):
            return Masks(self.reference)
        return Masks(self.plain, NAIVE_LEAST if kind == "naive" else LEAST)

    def failed(self, name: str, why: str, log: str = "") -> None:
        self.failures.setdefault(name, []).append(why)
        print(f"  {name}: FAILED: {why}", log, sep="\n" if log else "", file=sys.stderr, flush=True)


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that servers are ended
    servers = chosen(options.only)
    versions = {package: version(package) for package in EXTRAS}
    with bench(options.seconds, options.venvs) as running:
        install(running, servers, options.venvs)
        rows = [measured_round(running, servers, number) for number in range(options.rounds)]
    same = [agreement(pixels(one), pixels(other)) for one, other in zip(running.reference, running.plain, strict=True)]
    about = {"rounds": options.rounds, "seconds": options.seconds, "clients": CLIENTS, "versions": versions}
    finish(
        "peers",
        about | {"our_masks_like_trained": spread(same)} | summary(rows, servers) | {"failed": running.failures},
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venvs", type=Path, default=ROOT / "build/peers", help="made when missing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8, help="of each ceiling and of both loads")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="peers with this in their name")
    options = parser.parse_args()
    options.venvs = options.venvs.absolute()
    return options


@contextmanager
def bench(seconds: float, venvs: Path) -> Iterator[Bench]:
    files = list(photos(4 * EACH))
    logs = venvs / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        for number, data in enumerate(files):
            (Path(name) / f"{number}.jpg").write_bytes(data)
        with ceiling(Path(name), "cpu", CORES) as limit:
            yield Bench(files, limit, limit.masks(), as_trained(files), seconds, logs, {"": Path(sys.executable)})


def as_trained(files: Sequence[bytes]) -> list[bytes]:
    """In a process of its own, so that the client never holds torch."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply_async(plain_masks, (files,)).get(PATIENCE)


def install(bench: Bench, servers: Sequence[Server], venvs: Path) -> None:
    """A package that cannot be installed fails all servers that need it."""
    for package in dict.fromkeys(server.package for server in servers if server.package):
        try:
            bench.pythons[package] = python(venvs, package)
        except NotMade as error:
            print(f"{package}: not installed: {error}", file=sys.stderr)
            bench.failures.update({one.name: ["not installed"] for one in servers if one.package == package})


def measured_round(bench: Bench, servers: Sequence[Server], number: int) -> Row:
    print(f"round {number + 1}", file=sys.stderr, flush=True)
    row = {CEILING: {RATE: bench.limit.measure(bench.seconds).images_per_s}}
    print(f"  ceiling: {row[CEILING][RATE]:.1f} images/s", file=sys.stderr, flush=True)
    first = number % len(servers)
    for server in [*servers[first:], *servers[:first]]:
        if server.package in bench.pythons and len(bench.failures.get(server.name, [])) < TRIES:
            row |= attempt(bench, server)
    return row


def attempt(bench: Bench, server: Server) -> Row:
    """What was measured, or nothing after a failure."""
    began, log = time.monotonic(), bench.logs / f"{server.name}.log"
    try:
        with serving(server, bench.pythons[server.package], log, bench.files[0]) as (target, started):
            figures = measured(bench, target, started, bench.masks(server.kind))
    except (Failed, OSError) as error:
        bench.failed(server.name, str(error) or type(error).__name__, tail(log))
        return {}
    _say(server.name, figures, time.monotonic() - began)
    return {server.name: figures}


def _say(name: str, figures: Figures, seconds: float) -> None:
    speed = f"{figures[RATE]:.1f} images/s, p50 {figures['p50_ms']:.0f} ms, p99 {figures['p99_ms']:.0f} ms"
    rest = f"open p99 {figures[LATE]:.0f} ms, {figures['memory_mb']:.0f} MB, {figures['errors']:.0f} errors"
    wrong = f"{figures['wrong_masks']:.0f} wrong masks (worst agreement {figures['worst_agreement']:.4f})"
    print(f"  {name}: {speed}, {rest}, {wrong}; took {seconds:.0f} s", file=sys.stderr, flush=True)


def measured(bench: Bench, target: Target, started: Offspring, masks: Masks) -> Figures:
    burst(target, bench.files[:CLIENTS])  # the first photos pay for threads and buffers
    busy, before = Busy(), started.total(cpu_seconds)
    full = closed(target, bench.files, CLIENTS, 1, bench.seconds)
    spent, cores, memory = started.total(cpu_seconds) - before, busy.cores(), started.total(pss)
    if not full.images_per_s:
        raise Failed(f"no mask under load: {dict(full.statuses())} {dict(full.errors)}")
    steady = opened(target, bench.files, 0.7 * full.images_per_s, 1, bench.seconds)
    return latencies(full, steady) | {
        "cpu_ms": spent / full.masks * 1000,
        "memory_mb": memory,
        "others_cores": cores - spent / full.seconds - full.client_cores,
        "client_cores": full.client_cores,
        "right_beside_damaged": beside_damaged(target, bench.files),
        "errors": failures(full) + failures(steady),
        "wrong_masks": sum(masks.wrong(at, mask) for (at, _), mask in [*full.bodies.items(), *steady.bodies.items()]),
        "worst_agreement": masks.worst,
    }


def latencies(full: Outcome, steady: Outcome) -> Figures:
    times, late = full.latencies(), steady.latencies()
    middle, slowest = percentile(times, 0.5), percentile(times, 0.99)
    return {
        RATE: full.images_per_s,
        "p50_ms": middle * 1000,
        "p99_ms": slowest * 1000,
        "p99_over_p50": slowest / middle,
        "open_p50_ms": percentile(late, 0.5) * 1000,
        LATE: percentile(late, 0.99) * 1000,
    }


def failures(outcome: Outcome) -> int:
    return sum(outcome.errors.values()) + sum(answer.status != 200 for answer in outcome.answers)


def beside_damaged(target: Target, files: Sequence[bytes]) -> int:
    """Right answers of 31 beside a damaged photo; 0 if it never came to an end."""
    try:
        return len(burst(replace(target, patience=SHORT), [*files[: CLIENTS - 1], DAMAGED]).latencies())
    except OSError:
        return 0


if __name__ == "__main__":
    main()
