"""What the scaler tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from local.scaler.fleet import State
from local.scaler.scaler import Scaler

_PREFIX = "maskline_scaler"


def prometheus(scaler: Scaler) -> str:
    fleet, counts = scaler.fleet, scaler.counts
    return "".join(
        [
            _instances(scaler),
            _family(scaler, "in_flight", "gauge", fleet.inside),
            _family(scaler, "waiting", "gauge", fleet.waiting),
            _family(scaler, "starts_total", "counter", lambda revision: counts["starts", revision]),
            _family(scaler, "deaths_total", "counter", lambda revision: counts["deaths", revision]),
            _family(scaler, "refused_total", "counter", lambda revision: counts["refused", revision]),
            _family(scaler, "cold_start_seconds_sum", "counter", lambda revision: scaler.cold_seconds[revision]),
            _family(scaler, "cold_start_seconds_count", "counter", lambda revision: counts["ready", revision]),
        ]
    )


def _instances(scaler: Scaler) -> str:
    rows = [
        f'{_PREFIX}_instances{{revision="{revision}",state="{state}"}} {scaler.fleet.count(revision, state)}\n'
        for revision in scaler.revisions
        for state in State
    ]
    return f"# TYPE {_PREFIX}_instances gauge\n" + "".join(rows)


def _family(scaler: Scaler, name: str, kind: str, value: Callable[[str], float]) -> str:
    rows = [f'{_PREFIX}_{name}{{revision="{revision}"}} {value(revision)}\n' for revision in scaler.revisions]
    return f"# TYPE {_PREFIX}_{name} {kind}\n" + "".join(rows)
