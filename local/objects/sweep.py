"""What crashes and abandoned uploads leave behind, taken away at the start and every hour."""

from __future__ import annotations

import asyncio

from local.objects.service import Service
from shared.api.threads import in_thread
from shared.logs import Log

_PERIOD = 3600.0  # s


async def sweep(service: Service, log: Log) -> None:
    while True:
        await in_thread(service.sessions.expire)
        orphans = await in_thread(service.objects.sweep_orphans)
        if orphans:
            log("swept", orphans=orphans)
        await asyncio.sleep(_PERIOD)
