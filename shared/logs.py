"""One JSON object per line on stdout, in the shape that Cloud Logging reads.

`log("claimed", prediction_id=…)`: the first word is the `action`, machine-readable; the rest are fields. Never pixels,
signed URLs, tokens or paths.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import Any

_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}


class Log:
    """A component's log. `write` exists so that tests can listen."""

    def __init__(self, component: str, level: str = "INFO", write: Any = None) -> None:
        self.component = component
        self.threshold = _LEVELS[level]
        self._write = write or _stdout

    def __call__(self, action: str, severity: str = "INFO", **fields: Any) -> None:
        if _LEVELS[severity] < self.threshold:
            return
        record = {"severity": severity, "time": _now(), "component": self.component, "action": action}
        record["message"] = fields.pop("message", action)
        trace = fields.pop("trace", "")
        if trace.count("-") == 3:  # W3C traceparent: version-trace-span-flags
            _, record["logging.googleapis.com/trace"], record["logging.googleapis.com/spanId"], _ = trace.split("-")
        with suppress(OSError):  # a full disk must not stop what the line is about
            self._write(json.dumps(record | fields, default=str, separators=(",", ":")))

    def warning(self, action: str, **fields: Any) -> None:
        self(action, "WARNING", **fields)

    def error(self, action: str, **fields: Any) -> None:
        self(action, "ERROR", **fields)


def _stdout(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _now() -> str:
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z"
