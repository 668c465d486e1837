"""What the rounds of `benchmarks.peers` come to: medians and extremes, and our figures over those of the peers.

Ratios are taken within a round and then summed up. A server that failed in a round is not in that round's row.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.peer_servers import OURS, Server
from benchmarks.report import spread

Figures = dict[str, float]
Row = dict[str, Figures]  # of one round, by server; and `CEILING`
CEILING = "ceiling"
RATE, LATE = "images_per_s", "open_p99_ms"


def summary(rows: Sequence[Row], servers: Sequence[Server]) -> dict[str, Any]:
    seen = [server for server in servers if any(server.name in row for row in rows)]
    return {
        "ceiling_images_per_s": spread([row[CEILING][RATE] for row in rows]),
        "servers": {server.name: {"kind": server.kind} | of_server(rows, server.name) for server in seen},
        "ratios": ratios(rows, seen),
    }


def of_server(rows: Sequence[Row], name: str) -> dict[str, Any]:
    present = [row for row in rows if name in row]
    figures = {key: spread([row[name][key] for row in present]) for key in present[0][name]}
    return {"rounds": len(present)} | figures | {"of_ceiling": over(rows, name, CEILING, RATE)}


def ratios(rows: Sequence[Row], servers: Sequence[Server]) -> dict[str, Any]:
    """None of it where our container or every peer of a kind failed."""
    peers = [server.name for server in servers if server != OURS]
    tuned = [server.name for server in servers if server.kind == "tuned"]
    best, quickest = most(rows, tuned, RATE, max), most(rows, peers, LATE, min)
    return {
        "best_tuned": best,
        "ours_over_best_tuned": over(rows, OURS.name, best, RATE),
        "ours_over_documented": over_kind(rows, servers, "documented"),
        "ours_over_naive": over_kind(rows, servers, "naive"),
        "our_open_p99_over_best_tuned": over(rows, OURS.name, best, LATE),
        "lowest_open_p99": quickest,
        "our_open_p99_over_lowest": over(rows, OURS.name, quickest, LATE),
        "p99_over_p50": {server.name: of_server(rows, server.name)["p99_over_p50"] for server in servers},
    }


def over_kind(rows: Sequence[Row], servers: Sequence[Server], kind: str) -> dict[str, Any]:
    names = [server.name for server in servers if server.kind == kind]
    return {name: over(rows, OURS.name, name, RATE) for name in names}


def over(rows: Sequence[Row], upper: str, lower: str | None, key: str) -> dict[str, float] | None:
    """One server's figure over another's, of the rounds that have both."""
    both = [row for row in rows if upper in row and lower in row]
    return spread([row[upper][key] / row[lower][key] for row in both if lower]) if both else None


Pick = Callable[..., str]


def most(rows: Sequence[Row], names: Sequence[str], key: str, pick: Pick) -> str | None:
    """The server whose median is picked by `max` or `min`."""
    if not names:
        return None
    return pick(names, key=lambda name: statistics.median(row[name][key] for row in rows if name in row))
