"""`POST /v1/segment`: the bytes of a photo in, its mask out, in the same request; no queue, nothing stored."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from inference_container.admission import Place
from inference_container.faults import DeviceBroken
from inference_container.pipeline import Ledger
from inference_container.replies import body_of, refused
from inference_container.segmented import Job
from inference_container.service import Service
from shared.errors import MasklineError, Rejected, Retryable
from shared.probe import probe_bytes


async def segment(service: Service, request: Request) -> Response:
    ledger = Ledger()
    try:
        with service.admission.entered() as place:
            return await _segmented(service, request, ledger, place)
    except ClientDisconnect:
        return Response(status_code=499)  # nobody reads it
    except MasklineError as error:
        if isinstance(error, DeviceBroken):
            service.broken(error)
        outcome = "rejected" if isinstance(error, Rejected) else "refused" if isinstance(error, Retryable) else "failed"
        service.metrics.ended(outcome, ledger.milliseconds)
        return refused(error)
    except MemoryError:
        return refused(Retryable("The photo did not fit into memory."))


async def _segmented(service: Service, request: Request, ledger: Ledger, place: Place) -> Response:
    began, started = datetime.now(UTC), time.monotonic()
    data = await body_of(request)
    header = probe_bytes(data)
    place.weigh(header.width * header.height)
    try:
        async with asyncio.timeout(service.settings.work_budget_seconds):
            pipeline = await service.pipeline()
            found = await pipeline.segment(Job(data), ledger, (header.width, header.height))
    except TimeoutError:
        raise Retryable("The photo could not be segmented in time.") from None
    if cold := service.take_cold_start(began):
        ledger.add("coldStart", cold / 1000)
    ledger.add("total", time.monotonic() - started)
    service.metrics.ended("succeeded", ledger.milliseconds)
    headers = {
        "x-model-version": f"{pipeline.manifest.name}/{pipeline.manifest.version}",
        "x-maskline-timings": json.dumps(ledger.milliseconds, separators=(",", ":")),
    }
    return Response(found.mask.png, media_type="image/png", headers=headers)
