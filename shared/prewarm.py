"""Prewarm: in business hours an instance waits for the first photo, so that nobody waits for an instance."""

from __future__ import annotations

from shared.envelope import Push
from shared.errors import Malformed
from shared.logs import Log
from shared.runtime import Runtime

SERVICE = "segment"
_DIGITS = 4


def prewarm(runtime: Runtime, push: Push, log: Log) -> None:
    """Raises `Malformed` for a tick that names no number."""
    count = _count(push)
    runtime.services.set_min_instances(SERVICE, count)
    log("prewarmed", service=SERVICE, min_instances=count)


def _count(push: Push) -> int:
    """More than may run at all would be refused by Cloud Run, and is for the schedule's author to see."""
    text = push.attributes.get("minInstances", "")
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise Malformed("a prewarm tick names the number of instances in `minInstances`")
    return int(text)
