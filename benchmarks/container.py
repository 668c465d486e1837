"""The container beside its own offline ceiling, in turns: throughput, fairness, tails, mixed sizes, overload, memory.

What limits it: decode, forward and encode take every core of the machine. The ceiling is the same code in a loop with
no server; what HTTP, the event loop, threads and the client cost shows as a ratio below 1. Every answer's mask is
compared with the mask that the ceiling makes of the same photo.

    python -m benchmarks.container --rounds 5
    python -m benchmarks.container --rounds 5 --long     # and 10,000 photos, to see memory stay flat
    python -m benchmarks.container --device cuda --cores 8 --parts     # only throughput; cores as beside an L4

Each round measures: ceiling, 32 closed-loop clients, open loop at 70 % of what they got, mixed sizes and each size
alone, 32 photos at once with and without one that is damaged, and twice the load that fits. A last ceiling ends it.
`others_cores`: what everybody else on this machine used; with more than 0.2 only ratios within a round mean something.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.ceiling import Ceiling, Rate, ceiling
from benchmarks.cold_start import BARE
from benchmarks.load import Outcome, Target, burst, closed, opened, percentile
from benchmarks.masks import Masks
from benchmarks.photos import SIZES, photos
from benchmarks.processes import Busy, Running, container, family_cpu_seconds, family_memory_mb
from benchmarks.report import finish, spread

CLIENTS = 32
SERVED = "served_images_per_s"
MIXED = ((640, 480), (1600, 1200), (4000, 3000))  # 0.3 to 12 megapixels
EACH = 8  # photos of each size
GRAIN = 6.0  # noise of a phone's sensor: without it, enlarged photos would be too easy to decode
BARE_MEMORY = BARE + "\nprint(next(row for row in open('/proc/self/status') if row.startswith('VmRSS:')).split()[1])\n"


@dataclass(frozen=True, slots=True)
class Bench:
    server: Running
    limit: Ceiling
    common: list[bytes]  # what phones and the web send after resizing
    mixed: list[bytes]
    masks: Masks
    seconds: float

    @property
    def target(self) -> Target:
        return Target(self.server.port)


@dataclass(slots=True)
class Round:
    """One turn of everything; `figures` are what medians are taken of."""

    figures: dict[str, float] = field(default_factory=dict)
    errors: int = 0
    wrong: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    stage_ms: dict[str, float] = field(default_factory=dict)


def main() -> None:
    options = _options()
    bare_mb = [bare_memory() for _ in range(3)]
    rounds: list[Round] = []
    with bench(options) as running:
        closed(running.target, running.common, CLIENTS, 0, 5)
        for number in range(options.rounds):
            rounds.append(measured(running, options.parts))
            print(f"round {number + 1}: {rounds[-1].figures}", file=sys.stderr)
        last = running.limit.measure(running.seconds)
        growth = flat_memory(running) if options.long else {}
    figures = summary(rounds, last, statistics.median(bare_mb)) | {"worst_agreement": running.masks.worst}
    name = "gpu" if options.device == "cuda" else "container"
    finish(name, {"device": options.device, "rounds": options.rounds} | figures | growth)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="of each ceiling and of the closed loop")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="for ceiling and container")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="of a round, beside throughput")
    parser.add_argument("--long", action="store_true", help="then 10,000 photos, with memory after each thousand")
    return parser.parse_args()


@contextmanager
def bench(options: argparse.Namespace) -> Iterator[Bench]:
    """What serves gets the first cores, the client those that are left, or all of them if none is."""
    every = sorted(os.sched_getaffinity(0))
    common = list(photos(4 * EACH, SIZES))
    mixed = list(photos(len(MIXED) * EACH, MIXED, grain=GRAIN)) if "mixed" in options.parts else []
    os.sched_setaffinity(0, every[: options.cores])
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
        for folder, files in ((name, common), (other, mixed)):
            for number, data in enumerate(files):
                (Path(folder) / f"{number}.jpg").write_bytes(data)
        with ceiling(Path(other), options.device, 1) as limit:
            reference = limit.masks()
        with ceiling(Path(name), options.device, options.cores) as limit, container(options.device) as server:
            os.sched_setaffinity(0, every[options.cores :] or every)
            yield Bench(server, limit, common, mixed, Masks(limit.masks() + reference), options.seconds)


def measured(bench: Bench, parts: Sequence[str]) -> Round:
    row = Round()
    limit = bench.limit.measure(bench.seconds)
    row.stage_ms = limit.stage_ms
    row.figures |= {
        "ceiling_images_per_s": limit.images_per_s,
        "ceiling_cpu_ms": limit.cpu_ms,
        "ceiling_batch": limit.batch,
    }
    row.figures |= throughput(bench, row)
    for part in parts:
        row.figures |= PARTS[part](bench, row)
    return row


def throughput(bench: Bench, row: Round) -> dict[str, float]:
    busy, before = Busy(), family_cpu_seconds(bench.server.pid)
    outcome = closed(bench.target, bench.common, CLIENTS, 2, bench.seconds)
    spent = family_cpu_seconds(bench.server.pid) - before
    judge(bench, row, outcome)
    times = outcome.latencies()
    middle, late = percentile(times, 0.5), percentile(times, 0.99)
    return {
        SERVED: outcome.images_per_s,
        "served_cpu_ms": spent / outcome.masks * 1000,
        "p50_ms": middle * 1000,
        "p99_ms": late * 1000,
        "fairness": late / middle,
        "client_cores": outcome.client_cores,
        "others_cores": busy.cores() - spent / outcome.seconds - outcome.client_cores,
        "memory_mb": family_memory_mb(bench.server.pid),
    }


def open_loop(bench: Bench, row: Round) -> dict[str, float]:
    outcome = opened(bench.target, bench.common, 0.7 * row.figures[SERVED], 1, bench.seconds)
    judge(bench, row, outcome)
    times = outcome.latencies()
    return {"open_p50_ms": percentile(times, 0.5) * 1000, "open_p99_ms": percentile(times, 0.99) * 1000}


def mixed_sizes(bench: Bench, row: Round) -> dict[str, float]:
    """Images/s of the mix, over what the sizes alone promise: the harmonic mean of their rates."""
    first = len(bench.common)
    rates = []
    for at, size in enumerate([*MIXED, None]):
        files = bench.mixed if size is None else bench.mixed[at :: len(MIXED)]
        outcome = closed(bench.target, files, CLIENTS, 1, bench.seconds / 2)
        places = [first + (at + place * len(MIXED) if size else place) for place in range(len(files))]
        judge(bench, row, outcome, places)
        rates.append(outcome.images_per_s)
    *single, mix = rates
    return {
        "mixed_images_per_s": mix,
        "mixed_ratio": mix / statistics.harmonic_mean(single),
        **{f"{w}x{h}_images_per_s": rate for (w, h), rate in zip(MIXED, single, strict=True)},
    }


def one_damaged(bench: Bench, row: Round) -> dict[str, float]:
    """31 good photos at once, without and with a damaged one between them."""
    good = bench.common[: CLIENTS - 1]
    damaged = bench.common[CLIENTS - 1][: len(bench.common[CLIENTS - 1]) // 2]
    alone, beside = burst(bench.target, good), burst(bench.target, [*good, damaged])
    judge(bench, row, alone)
    judge(bench, row, beside)
    return {
        "beside_damaged_right": len(beside.latencies()),
        "beside_damaged_refused": len(beside.latencies(422)) + len(beside.latencies(400)),
        "beside_damaged_time_ratio": beside.latencies()[-1] / alone.latencies()[-1],
    }


def overload(bench: Bench, row: Round) -> dict[str, float]:
    outcome = opened(bench.target, bench.common, 2 * row.figures[SERVED], 1, bench.seconds / 2)
    judge(bench, row, outcome)
    refused = outcome.latencies(429)
    return {
        "overload_images_per_s": outcome.images_per_s,
        "overload_refused_share": len(refused) / max(len(outcome.answers), 1),
        "overload_429_p50_ms": percentile(refused, 0.5) * 1000,
        "overload_429_p99_ms": percentile(refused, 0.99) * 1000,
    }


PARTS: dict[str, Callable[[Bench, Round], dict[str, float]]] = {
    "open": open_loop,
    "mixed": mixed_sizes,
    "damaged": one_damaged,
    "overload": overload,
}


def judge(bench: Bench, row: Round, outcome: Outcome, places: Sequence[int] | None = None) -> None:
    """Count errors, statuses and wrong masks. `places`: the photos' positions in the reference, if not their own."""
    row.errors += sum(outcome.errors.values())
    for status, count in outcome.statuses().items():
        row.statuses[str(status)] = row.statuses.get(str(status), 0) + count
    for (photo, _), mask in outcome.bodies.items():
        row.wrong += bench.masks.wrong(places[photo] if places else photo, mask)


def flat_memory(bench: Bench, photos: int = 10_000) -> dict[str, Any]:
    """Resident MB after each tenth of `photos` photos at 32 clients."""
    sizes: list[float] = []
    done = 0
    while done < photos:
        outcome = closed(bench.target, bench.common, CLIENTS, 0, 5)
        done += len(outcome.answers)
        if done >= photos * (len(sizes) + 1) / 10:
            sizes.append(round(family_memory_mb(bench.server.pid), 1))
            print(f"{done} photos: {sizes[-1]} MB", file=sys.stderr)
    return {"memory_after_photos": done, "memory_by_tenth_mb": sizes}


def bare_memory() -> float:
    done = subprocess.run([sys.executable, "-c", BARE_MEMORY], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def summary(rounds: Sequence[Round], last: Rate, bare_mb: float) -> dict[str, Any]:
    rows = [row.figures for row in rounds]
    limits = [row["ceiling_images_per_s"] for row in rows] + [last.images_per_s]
    around = [(before + after) / 2 for before, after in pairwise(limits)]
    served = [row[SERVED] for row in rows]
    statuses: dict[str, int] = {}
    for row in rounds:
        statuses = {key: statuses.get(key, 0) + row.statuses.get(key, 0) for key in statuses | row.statuses}
    return {
        "served_ratio": spread([own / limit for own, limit in zip(served, around, strict=True)]),
        "cpu_ratio": spread([row["ceiling_cpu_ms"] / row["served_cpu_ms"] for row in rows]),
        "memory_ratio": spread([row["memory_mb"] / bare_mb for row in rows]),
        "bare_mb": round(bare_mb, 1),
        "errors": sum(row.errors for row in rounds),
        "wrong_masks": sum(row.wrong for row in rounds),
        "statuses": statuses,
        "last_ceiling": asdict(last),
        "stage_ms": {name: spread([row.stage_ms[name] for row in rounds]) for name in rounds[0].stage_ms},
        **{name: spread([row[name] for row in rows]) for name in rows[0]},
    }


if __name__ == "__main__":
    main()
