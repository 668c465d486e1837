"""Cloud Scheduler's part: a tick on a topic each period, unless the last one is still on its way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from local.broker.broker import Broker
from shared.errors import Retryable
from shared.logs import Log
from shared.pipeline import Pipeline, Timings


@dataclass(frozen=True, slots=True)
class Tick:
    """`period` is in seconds."""

    schedule: str
    topic: str
    period: float


def ticks_of(pipeline: Pipeline, timings: Timings) -> list[Tick]:
    return [Tick(s.name, s.topic, getattr(timings, s.timing)) for s in pipeline.local().schedules.values()]


async def run(tick: Tick, broker: Broker, log: Log) -> None:
    """The first tick at once: after a crash, whatever is overdue should not wait for a period."""
    while True:
        if not any(message.attributes.get("schedule") == tick.schedule for message in broker.waiting(tick.topic)):
            try:
                await broker.publish(tick.topic, [(b"{}", _attributes(tick, broker))])
            except Retryable as error:
                log.warning("tick_lost", schedule=tick.schedule, message=str(error))
        await asyncio.sleep(tick.period)


def _attributes(tick: Tick, broker: Broker) -> dict[str, str]:
    """`queueLost` until one such tick is acknowledged: settle then republishes everything unfinished."""
    attributes = {"schedule": tick.schedule}
    return attributes | {"queueLost": "true"} if broker.store.queue_lost else attributes
