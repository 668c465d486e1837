"""Our offline ceiling beside the best that was known before this project, on the same 64 photos, in turns.

What was known is a recipe of an earlier study, built here again: a loop without a server, one process with one torch
thread per core, one photo at a time; scaled decoding to 256 x 256 px; a network of 1.09 GMAC in float, batch
normalisation folded, channels last; malloc told to keep its memory; masks packed by hand. Ours is `ceiling`. Both
encode our network's masks: these networks are not trained, since what they answer does not change what they cost.

    python -m benchmarks.known --rounds 5

`separable` is the study's kind of network, depthwise-separable convolutions. `dense` is our own class of network,
widened to the same arithmetic and still in float: what is between the two is the choice of network.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.ceiling import BATCHES, Ceiling, Rate, Workers, ceiling, started, together
from benchmarks.container import GRAIN, MIXED
from benchmarks.peer_servers import ALLOCATOR
from benchmarks.photos import photos
from benchmarks.processes import Busy
from benchmarks.report import finish, spread

COUNT = 64
NETWORKS = ("separable", "dense")
RATE = "images_per_s"
Round = dict[str, Rate]


@dataclass(frozen=True, slots=True)
class Bench:
    ours: Ceiling
    known: Mapping[str, Workers]
    seconds: float


def main() -> None:
    options = _options()
    with bench(options.photos, options.seconds) as running:
        busy = Busy()
        rounds = [measured(running, number) for number in range(options.rounds)]
    row = {"photos": options.photos, "rounds": options.rounds, "busy_cores": round(busy.cores(), 2)}
    finish("known", row | summary(rounds))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8, help="of each window")
    parser.add_argument("--photos", type=int, default=COUNT)
    return parser.parse_args()


@contextmanager
def bench(count: int, seconds: float) -> Iterator[Bench]:
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        print(f"making {count} photos of 0.3, 2 and 12 megapixels", file=sys.stderr, flush=True)
        for number, data in enumerate(photos(count, MIXED, grain=GRAIN)):
            (Path(name) / f"{number}.jpg").write_bytes(data)
        ours = running.enter_context(ceiling(Path(name), "cpu", cores))
        known = {
            network: running.enter_context(
                started(["benchmarks.known_loop", name, network], cores, os.environ | ALLOCATOR)
            )
            for network in NETWORKS
        }
        yield Bench(ours, known, seconds)


def measured(bench: Bench, number: int) -> Round:
    """One window of each; every other round the other way round."""
    known = {name: partial(together, workers, "loop", bench.seconds) for name, workers in bench.known.items()}
    ours = {_ours(batch): partial(bench.ours.whole, bench.seconds, batch) for batch in BATCHES}
    windows: dict[str, Callable[[], Rate]] = {**known, **ours}
    order = list(windows)[:: -1 if number % 2 else 1]
    row = {name: windows[name]() for name in order}
    said = ", ".join(f"{name} {rate.images_per_s:.1f}" for name, rate in row.items())
    print(f"round {number + 1}: images/s: {said}", file=sys.stderr, flush=True)
    return row


def _ours(batch: int) -> str:
    return f"ours_batch_{batch}"


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Over what was known: our best batch, as the ceiling is defined, and one photo at a time, as the study did it."""
    figures: dict[str, Any] = {name: _spreads([row[name] for row in rounds]) for name in rounds[0]}
    for network in NETWORKS:
        ratios = [_ratios(row, row[network]) for row in rounds]
        figures[f"over_{network}"] = {key: spread([row[key] for row in ratios]) for key in ratios[0]}
    return figures


def _ratios(row: Round, known: Rate) -> dict[str, float]:
    """Above 1 where ours is better: by images/s, and by CPU per photo, which others on the machine disturb less."""
    ours = [row[_ours(batch)] for batch in BATCHES]
    return {
        "best": max(rate.images_per_s for rate in ours) / known.images_per_s,
        "batch_1": row[_ours(1)].images_per_s / known.images_per_s,
        "cpu_best": known.cpu_ms / min(rate.cpu_ms for rate in ours),
        "cpu_batch_1": known.cpu_ms / row[_ours(1)].cpu_ms,
    }


def _spreads(rates: Sequence[Rate]) -> dict[str, Any]:
    rows = [asdict(rate) for rate in rates]
    stages = {stage: spread([row["stage_ms"][stage] for row in rows]) for stage in rows[0]["stage_ms"]}
    return {key: spread([row[key] for row in rows]) for key in (RATE, "cpu_ms")} | {"stage_ms": stages}


if __name__ == "__main__":
    main()
