"""The starter network's forward on a CPU in every way that was thought of, in turns: speed, start, memory, size, masks.

What limits it: a forward is arithmetic that oneDNN's kernels do in each variant; what differs is how many bits they
have, what is fused into them, and what has to be loaded before the first one.

    python -m benchmarks.variants --rounds 5

Each turn is a process of its own with one torch thread: seconds and CPU until the end of its first forward, memory
then, and CPU per photo in batches of 1, 4 and 8. What is compiled is compiled once before, and that is timed apart.
All photos have one shape, since the compiler makes code for each. Masks are compared with those of the network as
trained; with labelled photos in --data, so are the labels.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.photos import photos
from benchmarks.processes import Busy, family_memory_mb
from benchmarks.report import finish, spread
from benchmarks.variant import PACKAGE, PHOTOS, VARIANTS, keep, kept
from benchmarks.variant_quality import agreement, at_model_size, labelled, points, scored
from inference_container.architectures import int8
from inference_container.decode import decode
from inference_container.manifest import MANIFEST, STARTER, WEIGHTS, read_manifest
from inference_container.training.dataset import Entry

BATCHES = (1, 4, 8)
COMPILED = ("inductor", "package", "package_bare")
REFERENCE = "trained"
MADE = ((480, 760),)  # px of the made photos; at model size most of the labelled ones have the same shape
COUNT = 32
CACHE = "cache"  # of the compiler
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bench:
    folder: Path
    names: Sequence[str]
    labelled: Sequence[Entry]
    seconds: float


class Turn:
    """A running variant, after its first forward."""

    def __init__(self, process: subprocess.Popen[str], began: float) -> None:
        self._process = process
        cpu = self._heard()["cpu_s"]
        self.start = {
            "start_s": time.monotonic() - began,
            "start_cpu_s": cpu,
            "memory_mb": family_memory_mb(process.pid),
        }

    def asked(self, line: str) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the variant's process ended early")
        found: dict[str, float] = json.loads(line)
        return found


def main() -> None:
    options = _options()
    busy = Busy()
    with tempfile.TemporaryDirectory() as name:
        bench = prepared(Path(name), options.data, options.seconds)
        built = builds(bench)
        sizes = {name: shipped(bench.folder, name) for name in bench.names}
        rounds = [measured(bench, number, options.rounds) for number in range(options.rounds)]
        quality = compared(bench)
    figures = {
        name: built.get(name, {}) | {"shipped_mb": sizes[name]} | of_variant(rounds, name) | quality[name]
        for name in bench.names
    }
    for name, row in figures.items():
        print(f"{name:12} {row}")
    finish("variants", {"rounds": options.rounds, "busy_cores": round(busy.cores(), 2), "variants": figures})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.7, help="of each batch size in a turn")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="labelled photos, if there are any")
    return parser.parse_args()


def prepared(folder: Path, data: Path, seconds: float) -> Bench:
    size = read_manifest(STARTER).input_size
    made = [decode(one, size).pixels for one in photos(COUNT, MADE)]
    chosen = list(labelled(data, made[0].shape[1::-1], size))
    pixels = [at_model_size(entry, size) for entry in chosen]
    keep(folder / PHOTOS, np.stack([*made, *pixels]))
    _say(f"{len(made)} made and {len(chosen)} labelled photos of {made[0].shape[1]}x{made[0].shape[0]} px")
    return Bench(folder, list(available()), chosen, seconds)


def available() -> Iterator[str]:
    compiler = os.environ.get("CXX", "g++")
    for name in VARIANTS:
        if name in COMPILED and not shutil.which(compiler):
            _say(f"{name}: skipped: this machine has no C++ compiler ({compiler})")
        elif name == "eight_bits" and not int8.available():
            _say(f"{name}: skipped: this CPU has none of its kernels")
        else:
            yield name


def builds(bench: Bench) -> dict[str, Figures]:
    """Seconds to compile with nothing to begin with: the package; for inductor every batch size, at its first use."""
    if not set(COMPILED) & set(bench.names):
        return {}
    _say("compiling the package")
    began = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.variant", "package", str(bench.folder), "build"]
    subprocess.run(command, check=True, stdout=sys.stderr, env=_environ(bench.folder, "package"))
    package = {"build_s": round(time.monotonic() - began, 2)}
    _say(f"{package}; compiling by inductor")
    began = time.monotonic()
    with turn(bench.folder, "inductor") as running:
        first = running.start["start_s"]
        for batch in BATCHES[1:]:
            running.asked(f"speed {batch} 0")
    inductor = {"cold_start_s": round(first, 2), "build_s": round(time.monotonic() - began, 2)}
    _say(f"{inductor}")
    return {"inductor": inductor, "package": package, "package_bare": package}


def shipped(folder: Path, name: str) -> float:
    """MB that an image needs beside torch and this code; inductor needs a C++ compiler, too."""
    if name.startswith("package"):
        files = [folder / PACKAGE, STARTER / MANIFEST]
    else:
        cached = [path for path in (folder / CACHE / name).rglob("*") if path.is_file()]
        files = [STARTER / MANIFEST, STARTER / WEIGHTS, *cached]
    return round(sum(path.stat().st_size for path in files) / 1e6, 2)


def measured(bench: Bench, number: int, rounds: int) -> dict[str, Figures]:
    """One turn of each, every time another one first; the last ones make the masks, too."""
    first, last = number % len(bench.names), number == rounds - 1
    row = {name: one_turn(bench, name, last) for name in [*bench.names[first:], *bench.names[:first]]}
    _say(f"round {number + 1}: " + ", ".join(f"{name} {found['cpu_ms_1']:.1f} ms" for name, found in row.items()))
    return row


def one_turn(bench: Bench, name: str, masks: bool) -> Figures:
    with turn(bench.folder, name) as running:
        speeds = {f"cpu_ms_{batch}": running.asked(f"speed {batch} {bench.seconds}")["cpu_ms"] for batch in BATCHES}
        if masks:
            running.asked("maps")
        return running.start | speeds


@contextmanager
def turn(folder: Path, name: str) -> Iterator[Turn]:
    command = [sys.executable, "-m", "benchmarks.variant", name, str(folder)]
    began = time.monotonic()
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=_environ(folder, name)) as process:
        try:
            yield Turn(process, began)
        finally:
            process.terminate()


def _environ(folder: Path, name: str) -> dict[str, str]:
    """The compiler works in one process, as the rest does, with a cache that is empty at first."""
    own = {"TORCHINDUCTOR_CACHE_DIR": str(folder / CACHE / name), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    return dict(os.environ) | own


def compared(bench: Bench) -> dict[str, dict[str, Any]]:
    maps = {name: kept(bench.folder / name)[:] for name in bench.names}
    scores = {name: scored(bench.labelled, found[COUNT:]) for name, found in maps.items()}
    return {name: agreement(maps[name], maps[REFERENCE]) | points(scores, name, REFERENCE) for name in bench.names}


def of_variant(rounds: Sequence[dict[str, Figures]], name: str) -> dict[str, Any]:
    """Each figure, and what it is of the reference's in the same round."""
    figures: dict[str, Any] = {}
    for key in rounds[0][name]:
        figures[key] = spread([row[name][key] for row in rounds])
        figures[f"{key}_ratio"] = spread([row[name][key] / row[REFERENCE][key] for row in rounds])
    return figures


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
