"""`python -m inference_container.training --data DIR --out DIR`: train, then write a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from inference_container.training.dataset import load
from inference_container.training.draws import Plan
from inference_container.training.loop import Run


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, train and save; goes on where an interrupted run of the same --out stopped."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    options.out.mkdir(parents=True, exist_ok=True)
    sizes = tuple((float(a), int(b)) for a, b in (part.split(":") for part in options.sizes.split(",")))
    plan = Plan(options.passes, options.batch, options.seed, sizes)
    run = Run(options.architecture, load(options.data), plan, options.out)
    run.train(options.workers, lambda line: print(line, flush=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference_container.training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds pets/ and people/")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and bundle go here")
    parser.add_argument("--architecture", default="compact-v1")
    parser.add_argument("--passes", type=int, default=120)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sizes", default="0:128,0.4:192,0.75:224", help="SHARE:PIXELS,... of the steps")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare batches")
    return parser


if __name__ == "__main__":
    main()
