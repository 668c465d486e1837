"""The forward by batch size: its kernels launched one by one, as one CUDA graph, and all that a worker waits for.

What limits it: on a GPU, launching a hundred small kernels, whatever the batch; on a CPU, arithmetic.

    python -m benchmarks.forward --device cuda
    python -m benchmarks.forward                  # a CPU has no graphs

`kernels`: from pixels on the device to class ids on it. `graph`: the same, as one launch, and what capturing it takes.
`whole`: from pixels in memory to class ids in memory, copies and all, as a worker does it: with graphs on a GPU.
`best_batch`: the smallest that a larger one does not beat by 5 % (`shared.capacity`). Milliseconds of a batch, on the
clock and of CPU: the mean of a window, which on a GPU ends when all of it has finished. Windows take turns.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.report import finish, spread
from inference_container.device import Device
from inference_container.graphs import Graphs
from inference_container.manifest import STARTER
from inference_container.shapes import target_shape
from shared.capacity import best_batch

BATCHES = (1, 4, 8, 64)
Work = Callable[[], Any]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    device = Device(STARTER, options.device)
    width, height = target_shape(4, 3, options.size or device.manifest.input_size)
    rows: dict[str, dict[str, Any]] = {}
    for batch in options.batches:
        rows[str(batch)] = measured(device, (batch, height, width, 3), options.rounds, options.seconds)
        print(f"{batch:3} photos: " + ", ".join(_said(rows[str(batch)])), file=sys.stderr, flush=True)
    best = best_batch({int(batch): row["whole_ms"]["median"] for batch, row in rows.items()})
    about = {"device": device.kind, "shape": [height, width], "torch": torch.__version__}
    finish("forward", about | {"batches": rows, "best_batch": best})


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each window")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="photos in a batch")
    parser.add_argument("--size", type=int, default=0, help="px; the model's own if left out")
    return parser.parse_args(arguments)


@torch.inference_mode()
def measured(device: Device, shape: tuple[int, ...], rounds: int, seconds: float) -> dict[str, Any]:
    """Of batches of `shape` (n, h, w, 3)."""
    pixels = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    works = ways(device, pixels)
    figures: dict[str, Any] = {}
    if "graph" in works:
        figures["capture_ms"] = round(timed(works["graph"], device.kind, 0)[0], 3)
    windows = [{name: timed(work, device.kind, seconds) for name, work in works.items()} for _ in range(rounds)]
    for name in works:
        clock, cpu = zip(*(window[name] for window in windows), strict=True)
        figures |= {f"{name}_ms": spread(clock), f"{name}_cpu_ms": spread(cpu)}
    return figures


def ways(device: Device, pixels: Any) -> dict[str, Work]:
    moved, photos = torch.from_numpy(pixels).to(device.kind), list(pixels)
    works: dict[str, Work] = {"kernels": lambda: device.forward(moved)}
    works["kernels"]()  # libraries choose their kernels now, not while a graph is captured
    if device.kind == "cuda":
        graphs = Graphs(device.forward)
        works["graph"] = lambda: graphs(moved)
    return works | {"whole": lambda: device.segment(photos)}


def timed(work: Work, kind: str, seconds: float) -> tuple[float, float]:
    """Milliseconds of one `work`, on the clock and of CPU: the mean over a window, after one that does not count."""
    if seconds:
        work()
    _wait(kind)
    began, spent, count = time.monotonic(), time.process_time(), 0
    while not count or time.monotonic() < began + seconds:
        work()
        count += 1
    _wait(kind)
    return (time.monotonic() - began) / count * 1000, (time.process_time() - spent) / count * 1000


def _wait(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.synchronize()


def _said(row: dict[str, Any]) -> Iterator[str]:
    for name, value in row.items():
        yield f"{name} {value['median'] if isinstance(value, dict) else value:.3g}"


if __name__ == "__main__":
    main()
