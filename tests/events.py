"""The golden samples of `tests/data/events`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).parent / "data" / "events"


def golden(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text("utf-8"))


def golden_bytes(name: str) -> bytes:
    """As it travels: no line breaks, no spaces."""
    return json.dumps(golden(name), separators=(",", ":")).encode()
