"""`python -m tests.chaos.report`: take over what `make chaos` left in `build/chaos/`, and write
docs/explanation/guarantees.md from it and the catalogue."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import commit, machine
from tests.chaos.catalogue import FAULT_ROWS, INVARIANTS, Row
from tests.chaos.options import RESULTS

KEPT = Path(__file__).with_name("results.json")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "guarantees.md"
_HEAD = """# What is guaranteed, and how it is shown

Every photo ends in exactly one visible outcome, whatever dies, repeats or gets lost. This page is written by a run:
`make chaos`, then `python -m tests.chaos.report`. [Delivery](../architecture/01-delivery.md) says how it is done,
[ADR 0001](../adr/0001-delivery-protocol.md) why. `maskline audit` asks the same of your own data, at any time.

Three ways of looking, from far to near:

- **Real processes** are killed, paused and starved while photos go through them. A stub stands in for torch where a
  fast start matters; the soak runs the real model.
- **A simulation** runs the real accept, container, protocol, settle and broker rules by virtual time, over stores in
  memory, with faults drawn from a seed: one seed is one schedule, always the same. Every single write is checked.
- **Traces** that break shorter protocols are played against the real code, which they must not break, and against
  twins with one part left out, which they must: `tests/chaos/test_designs.py`.

The quick part is in `make test`. Sizes and the seed come from the environment: `MASKLINE_CHAOS_SEED`, `_PHOTOS`,
`_KILLS`, `_RECOVERIES`, `_SECONDS`, `_RATE`, `_SCHEDULES`, `_PAGES`. A seed is printed when its test fails.
"""


def take_over() -> dict[str, Any]:
    """The kept results, with those of the last runs in their place."""
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for path in sorted(RESULTS.glob("*.json")):
        figures = json.loads(path.read_text())
        if kept.get(path.stem, {}).get("figures") != figures:
            when = time.strftime("%Y-%m-%d", time.gmtime(path.stat().st_mtime))
            kept[path.stem] = {"time": when, "commit": commit(), "machine": machine(), "figures": figures}
    return kept


def page(kept: Mapping[str, Any]) -> str:
    figures = {name: row["figures"] for name, row in kept.items()}
    parts = [_HEAD, "## Figures\n", _figures(figures), _machines(kept), "## Invariants\n"]
    parts += [_table(("", "invariant", "target", "held by"), INVARIANTS), "## Faults\n"]
    return "\n".join([*parts, _table(("", "fault", "target", "test"), FAULT_ROWS)])


def _figures(figures: Mapping[str, Any]) -> str:
    rows = [line for name, say in _SAY.items() for line in (say(figures[name]) if name in figures else _none(name))]
    table = ["| figure | value | command |", "|---|---|---|", *rows]
    return "\n".join(table) + "\n"


def _none(name: str) -> list[str]:
    return [f"| {name} | not run yet | `make chaos` |"]


def _torture(row: Mapping[str, Any]) -> list[str]:
    kills, command = row["kills"], "`pytest -m chaos tests/chaos/test_torture.py`"
    by_role = ", ".join(f"{role} {times}" for role, times in sorted(kills.items(), key=lambda one: -one[1]))
    return [
        f"| kills survived | {sum(kills.values()):,} (`kill -9`; {by_role}) | {command} |",
        f"| photos under these kills | {row['photos']:,}; {row['lost']} lost, {row['committedTwice']} committed twice,"
        f" {row['claimed again']} claimed more than once | the same |",
    ]


def _recovery(row: Mapping[str, Any]) -> list[str]:
    return [
        f"| recovery: `kill -9` of the instance to the published result | p50 {row['p50Seconds']} s,"
        f" p99 {row['p99Seconds']} s over {row['kills']} kills, at a load of {row['load']}; lease"
        f" {row['leaseSeconds']:g} s | `pytest -m chaos tests/chaos/test_recovery.py` |",
        f"| of it, the new instance's start | p50 {row['p50StartSeconds']} s, p99 {row['p99StartSeconds']} s"
        " | the same |",
        f"| recovery without what the start took beyond the lease | p50 {row['p50OwnSeconds']} s,"
        f" p99 {row['p99OwnSeconds']} s; target p99 ≤ lease + 5 s = {row['targetSeconds']:g} s | the same |",
    ]


def _simulation(row: Mapping[str, Any]) -> list[str]:
    injected = dict(row["injected"])
    calls = injected.pop("calls")
    named = ", ".join(f"{name} {times:,}" for name, times in sorted(injected.items(), key=lambda one: -one[1]))
    command = "`pytest -m chaos tests/chaos/test_simulation.py`"
    return [
        f"| schedules simulated | {row['schedules']:,}, {calls:,} port calls, {row['violations']} violations"
        f" | {command} |",
        f"| faults injected in them | {sum(injected.values()):,}: {named} | the same |",
    ]


def _sweep(row: Mapping[str, Any]) -> list[str]:
    points = ", ".join(f"{call} {number}" for call, number in row["points"].items())
    return [
        f"| crash sweep | {row['total']} durable system calls ({points}), {row['violations']} violations"
        " | `pytest -m chaos tests/chaos/test_crash_sweep.py` |"
    ]


def _soak(row: Mapping[str, Any]) -> list[str]:
    states = ", ".join(f"{number:,} {state}" for state, number in sorted(row["states"].items()))
    return [
        f"| soak | {row['seconds'] / 60:.0f} min, {row['photos']:,} photos, half of them hostile ({states})"
        " | `pytest -m chaos tests/chaos/test_soak.py` |",
        f"| memory growth after the warm-up, worst process | {row['growthPercent']} % | the same |",
        f"| more descriptors (medians), temporary files left | {row['moreDescriptors']}, {row['left']} | the same |",
    ]


def _hostile(row: Mapping[str, Any]) -> list[str]:
    rejected = sum(row["kinds"].values()) - row["kinds"]["accepted"]
    return [
        f"| hostile and odd files through a whole stack | {row['files']:,} kinds among {row['goodPhotos']} good photos:"
        f" {row['kinds']['accepted']} accepted, {rejected} rejected, each as expected; the good ones unharmed"
        " | `pytest -m chaos tests/chaos/test_hostile.py` |"
    ]


_SAY = {
    "torture": _torture,
    "recovery": _recovery,
    "simulation": _simulation,
    "crash-sweep": _sweep,
    "soak": _soak,
    "hostile-0": _hostile,
}


def _machines(kept: Mapping[str, Any]) -> str:
    seen = sorted(
        {f"{row['time']} on {row['machine']['cores']} cores of {row['machine']['cpu']}" for row in kept.values()}
    )
    return f"Measured {'; '.join(seen)}, shared with other work.\n" if seen else ""


def _table(head: tuple[str, ...], rows: Iterable[Row]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        shown = "; ".join(f"`{test.replace('::', '` `')}`" for test in row.tests) or "–"
        missing = f" **Not shown:** {row.missing}." if row.missing else ""
        lines.append(f"| {row.id} | {row.what} | {row.target or '–'} | {shown}{missing} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    kept = take_over()
    KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(kept))


if __name__ == "__main__":
    main()
