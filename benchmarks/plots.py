"""Plots of the last results, as SVG files for docs/explanation/performance.md.

    python -m benchmarks.plots

Drawn by hand: horizontal bars with their extremes, and a line where the bar to reach is. A result that is not there
leaves its plot as it was.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS

PLOTS = Path(__file__).parents[1] / "docs" / "explanation" / "plots"
LEFT, WIDTH, ROW, TOP = 230, 420, 26, 40  # px
INK, BAR, REACH = "#24292f", "#4c8dae", "#c2410c"


@dataclass(frozen=True, slots=True)
class Bar:
    """`low` to `high`: the extremes. `reach`: where the bar to reach is, if there is one."""

    label: str
    value: float
    low: float
    high: float
    reach: float | None = None


def main() -> None:
    PLOTS.mkdir(parents=True, exist_ok=True)
    for name, draw in (("container", container), ("stages", stages), ("peers", peers)):
        row = last(name if name != "stages" else "container")
        if row is None:
            print(f"{name}: no result yet")
            continue
        (PLOTS / f"{name}.svg").write_text(draw(row), "utf-8")
        print(f"{name}.svg of {row['time']}, commit {row['commit']}")


def last(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    row: dict[str, Any] | None = json.loads(lines[-1]) if lines else None
    return row


def container(row: dict[str, Any]) -> str:
    return svg(
        "The container over its offline ceiling and other ratios",
        [
            _bar("served ÷ ceiling", row["served_ratio"], 0.95),
            _bar("CPU: ceiling ÷ served", row["cpu_ratio"]),
            _bar("p99 ÷ p50, 32 clients", row["fairness"], 1.15),
            _bar("mixed sizes ÷ single sizes", row["mixed_ratio"], 0.9),
            _bar("memory ÷ bare script", row["memory_ratio"], 1.5),
        ],
    )


def stages(row: dict[str, Any]) -> str:
    bars = [_bar(name, values) for name, values in row["stage_ms"].items()]
    return svg("One photo on one core, offline: ms by stage", bars)


def peers(row: dict[str, Any]) -> str:
    bars = [_bar(name, values["images_per_s"]) for name, values in row["servers"].items()]
    return svg("Images/s at 32 clients, same network, same machine", bars)


def _bar(label: str, spread: dict[str, float], reach: float | None = None) -> Bar:
    return Bar(label, spread["median"], spread["min"], spread["max"], reach)


def svg(title: str, bars: Sequence[Bar]) -> str:
    most = max(max(bar.high, bar.reach or 0) for bar in bars) or 1
    scale = WIDTH / most
    height = TOP + ROW * len(bars) + 10
    parts = [_text(8, 22, title, weight="bold")]
    for at, bar in enumerate(bars):
        parts += _drawn(bar, TOP + ROW * at, scale)
    size = f'width="{LEFT + WIDTH + 90}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])


def _drawn(bar: Bar, top: float, scale: float) -> list[str]:
    middle = top + ROW / 2 - 3
    end = LEFT + bar.value * scale
    drawn = [
        _text(LEFT - 8, middle + 5, bar.label, anchor="end"),
        f'<rect x="{LEFT}" y="{top}" width="{bar.value * scale:.1f}" height="{ROW - 8}" fill="{BAR}"/>',
        _line(LEFT + bar.low * scale, middle, LEFT + bar.high * scale, middle, INK),
        _text(max(end, LEFT + bar.high * scale) + 6, middle + 5, f"{bar.value:.3g}"),
    ]
    if bar.reach is not None:
        place = LEFT + bar.reach * scale
        drawn.append(_line(place, top - 3, place, top + ROW - 5, REACH))
    return drawn


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="2"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text {where} font-size="13" fill="{INK}">{escape(text)}</text>'


if __name__ == "__main__":
    main()
