"""`python -m inference_container.training --data DIR --out DIR`: train, then write the evaluated bundle OUT/bundle."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

from inference_container import bundle
from inference_container.manifest import Manifest
from inference_container.training.dataset import load
from inference_container.training.draws import Plan
from inference_container.training.export import START, Origin, export
from inference_container.training.loop import Run


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, train, export; goes on where an interrupted run of the same --out stopped."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    options.out.mkdir(parents=True, exist_ok=True)
    plan = Plan(options.passes, options.batch, options.seed, _sizes(options.sizes), options.rate)
    start = bundle.load(options.start, fold=False) if options.start else None
    began = _described(start.manifest) if start else None
    if start:
        shutil.copytree(options.start, options.out / START, dirs_exist_ok=True)
    origin = Origin(options.architecture, plan.sizes[-1][1], _command(options), _commit(), began, options.blend)
    origin.write(options.out)
    network = start.module if start else None
    photos = load(options.data)
    run = Run(
        options.architecture, photos, plan, options.out, options.precision, network, options.teacher, options.device
    )
    run.train(options.workers, lambda line: print(line, flush=True))
    export(options.out, options.out / "bundle", options.data, options.version)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference_container.training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds pets/ and people/")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and bundle go here")
    parser.add_argument("--version", default="1", help="version of the bundle")
    parser.add_argument("--architecture", default="compact-v1")
    parser.add_argument("--teacher", help="a wider architecture that learns beside it, and that it learns from")
    parser.add_argument("--start", type=Path, help="bundle whose weights to begin with; random ones if left out")
    parser.add_argument("--blend", type=float, default=1.0, help="share of the run in the weights, the rest is --start")
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate")
    parser.add_argument("--passes", type=int, default=120)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sizes", default="0:128,0.4:192,0.75:224", help="SHARE:PIXELS,... of the steps")
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="bf16: twice as fast where the CPU knows it"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare batches")
    return parser


def _sizes(text: str) -> tuple[tuple[float, int], ...]:
    """ "0:128,0.4:192" -> ((0.0, 128), (0.4, 192))"""
    parts = (part.split(":") for part in text.split(","))
    return tuple((float(share), int(pixels)) for share, pixels in parts)


def _command(options: argparse.Namespace) -> str:
    """The command that repeats this run, without the folders of this machine."""
    names = ("architecture", "teacher", "passes", "batch", "seed", "sizes", "rate", "blend", "precision", "device")
    choices = " ".join(f"--{name} {getattr(options, name)}" for name in names if getattr(options, name))
    start = " --start START" if options.start else ""
    return f"python -m inference_container.training --data DATA --out OUT{start} {choices}"


def _described(manifest: Manifest) -> dict[str, Any]:
    return {"version": manifest.version, "sha256": manifest.sha256, "lineage": dict(manifest.lineage)}


def _commit() -> str:
    """The commit of the code, "unknown" outside a checkout."""
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
