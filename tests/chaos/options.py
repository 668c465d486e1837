"""How long, how many, and from which seed: read from the environment, so that one test runs small and large."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from random import Random
from typing import Any

RESULTS = Path(__file__).resolve().parents[2] / "build" / "chaos"


def number(name: str, default: float) -> float:
    """`MASKLINE_CHAOS_{NAME}`."""
    return float(os.environ.get(f"MASKLINE_CHAOS_{name}", default))


def count(name: str, default: int) -> int:
    return int(number(name, default))


def seed() -> int:
    """`MASKLINE_CHAOS_SEED`, or a new one. Whoever uses it says it when something fails."""
    return count("SEED", secrets.randbits(32))


def seeded(name: str) -> tuple[int, Random]:
    """A seed and its random numbers; pytest shows the line when the test fails."""
    chosen = seed()
    print(f"{name}: MASKLINE_CHAOS_SEED={chosen}")
    return chosen, Random(chosen)


def keep(name: str, figures: dict[str, Any]) -> None:
    """For the report: `build/chaos/{name}.json`."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    print(json.dumps({name: figures}))


def percentile(values: list[float], part: float) -> float:
    """The nearest-rank percentile: a value that was seen."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
