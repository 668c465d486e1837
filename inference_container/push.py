"""`POST /push`: one delivery of a segment message, from the envelope to the acknowledgement.

Trigger: Pub/Sub push. Output: the mask and what else was wanted, the outcome in the prediction's document, then 204.
Idempotency key: prediction id and generation; the claim's fence decides who may commit.
Failure policy: the photo's fault is recorded and acknowledged; a passing fault ends the lease and answers 503, so that
the message comes again; what nobody can read is logged and acknowledged (settle finds the photo by its document).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from inference_container.admission import Place
from inference_container.claims import Claims
from inference_container.faults import DeviceBroken, NotFinite, OutOfMemory
from inference_container.pipeline import Ledger, Pipeline
from inference_container.replies import body_of, refusal, refused
from inference_container.segmented import Job, Segmented
from inference_container.service import Service
from shared import envelope, pushers
from shared.delivery import Claim, Refusal, Verdict
from shared.errors import Busy, Denied, MasklineError, NotFound, Permanent, Rejected, Retryable
from shared.events import SegmentRequested
from shared.ports import ObjectInfo
from shared.prediction import Prediction, Reason, State
from shared.results import MASK, OUTPUTS

_ENVELOPE_BYTES = 64 << 10
_GONE = "The photo was deleted before it could be read."
_NO_MASK = "The model gave no usable answer for this photo."
_NO_MEMORY = "The photo did not fit into memory."
_NOT_NOW = "The photo could not be segmented now."
_STOPPING = "This instance is stopping."
_LATE = "The photo took longer than one attempt may take."


class Push:
    """The queue's side of an instance."""

    def __init__(self, service: Service, claims: Claims) -> None:
        self._service = service
        self._claims = claims
        self._log = service.log

    async def deliver(self, request: Request) -> Response:
        """204 acknowledges; 403, 429 and 503 ask for the message again."""
        try:
            await pushers.check_headers(self._service.settings, request.headers)
            with self._service.admission.entered() as place:
                pipeline = await self._service.pipeline()
                wanted = _read(await body_of(request, _ENVELOPE_BYTES))
                await self._deliver(wanted, pipeline, place)
        except Permanent as error:
            self._log.warning("unreadable", message=str(error))
        except ClientDisconnect:
            return Response(status_code=499)  # the message comes again
        except Denied as error:
            self._log.error("denied", message=str(error))
            return refusal(403, str(error))
        except (MasklineError, OSError, MemoryError) as error:
            return refused(error if isinstance(error, Retryable) else Retryable(_NOT_NOW))
        return Response(status_code=204)

    async def _deliver(self, wanted: SegmentRequested, pipeline: Pipeline, place: Place) -> None:
        async with self._claims.turns.together():
            refusal = await self._claimed(wanted, pipeline, place, alone=False)
        if refusal and refusal.verdict is Verdict.ALONE:
            async with self._claims.turns.alone():
                refusal = await self._claimed(wanted, pipeline, place, alone=True)
        if refusal is None:
            return
        self._ended(refusal.verdict.value, wanted.prediction_id)
        if refusal.verdict is Verdict.BUSY:
            raise Busy("Another attempt is at work on this photo.", refusal.retry_after)

    async def _claimed(self, wanted: SegmentRequested, pipeline: Pipeline, place: Place, alone: bool) -> Refusal | None:
        """Claim it and do the work; or why there is no claim."""
        taken = await self._claims.claim(wanted, pipeline.manifest, alone)
        if isinstance(taken, Refusal):
            return taken
        place.weigh(math.prod(_size(taken.prediction)))
        if self._service.stopped.is_set():  # while it was claimed: the drain has not seen this one
            await self._give_back(taken, wanted)
            raise Retryable(_STOPPING)
        await self._work(taken, wanted, pipeline)
        return None

    async def _work(self, held: Claim, wanted: SegmentRequested, pipeline: Pipeline) -> None:
        """One claim, until it is committed, abandoned or given back: nothing leaves here with the lease alive."""
        self._log("claimed", prediction_id=held.prediction.id, fence=held.fence, trace=held.prediction.trace)
        try:
            with self._claims.at_work():
                async with asyncio.timeout(self._service.settings.work_budget_seconds):
                    await self._to_the_end(held, pipeline)
        except asyncio.CancelledError:
            await self._give_back(held, wanted)
            raise Retryable(_STOPPING) from None
        except TimeoutError:
            await self._abandon(held, _LATE)
            raise Retryable(_LATE) from None
        except Exception as error:
            if isinstance(error, DeviceBroken):
                self._service.broken(error)
            await self._abandon(held, str(error) if isinstance(error, MasklineError) else type(error).__name__)
            raise Retryable(_NOT_NOW) from error

    async def _to_the_end(self, held: Claim, pipeline: Pipeline) -> None:
        ledger = Ledger()
        try:
            outcome = await self._succeeded(held, pipeline, ledger)
        except Rejected as error:
            outcome = held.prediction.failed(Reason(error.reason), str(error), State.REJECTED)
        except NotFound:
            outcome = held.prediction.failed(Reason.SOURCE_MISSING, _GONE)
        except NotFinite:
            outcome = held.prediction.failed(Reason.INTERNAL, _NO_MASK)
        except OutOfMemory:
            if not held.last_chance:
                raise
            outcome = held.prediction.failed(Reason.OUT_OF_MEMORY, _NO_MEMORY)
        won = await self._claims.commit(held, replace(outcome, timings=self._billed(held, ledger)))
        label = outcome.state.value.lower() if won else "fenced"
        self._ended(label, held.prediction.id, held.fence, ledger.milliseconds, **outcome.error)

    async def _succeeded(self, held: Claim, pipeline: Pipeline, ledger: Ledger) -> Prediction:
        """Fetch, segment, store; the commit comes after, by the caller."""
        ledger.add("queued", _seconds_queued(held, self._service.settings.lease_seconds))
        with ledger.stage("fetch"), pipeline.coming():
            data, sha256 = await self._claims.fetch(held.prediction)
        job = Job(data, tuple(held.prediction.outputs))
        found = await pipeline.segment(job, ledger, _size(held.prediction), held.last_chance)
        further = {OUTPUTS[name]: content for name, content in found.outputs.items()}
        with ledger.stage("store"):
            mask, *others = await self._claims.store(held, {MASK: found.mask.png, **further})
        return held.prediction.ended(
            State.SUCCEEDED,
            input={**held.prediction.input, **_input(found, sha256, len(data))},
            result=_result(found, mask, others),
        )

    def _billed(self, held: Claim, ledger: Ledger) -> dict[str, float]:
        """The ledger in ms, closed: with the whole, and with the cold start for the first photo that waited for it."""
        began = held.prediction.publish_time or held.prediction.create_time
        if cold := self._service.take_cold_start(began):
            ledger.add("coldStart", cold / 1000)
        ledger.add("total", max(0.0, (datetime.now(UTC) - began).total_seconds()))
        return dict(ledger.milliseconds)

    async def _abandon(self, held: Claim, why: str) -> None:
        self._ended("abandoned", held.prediction.id, held.fence, message=why)
        try:
            await self._claims.abandon(held)
        except (MasklineError, OSError) as error:  # the lease ends by itself, later
            self._log.warning("not_abandoned", prediction_id=held.prediction.id, message=str(error))

    async def _give_back(self, held: Claim, wanted: SegmentRequested) -> None:
        try:
            mine = await self._claims.give_back(held, wanted)
            self._ended("gave_back" if mine else "fenced", held.prediction.id, held.fence)
        except (MasklineError, OSError) as error:  # settle finds it when the lease is over
            self._log.warning("not_given_back", prediction_id=held.prediction.id, message=str(error))

    def _ended(
        self, outcome: str, prediction_id: str, fence: int = 0, spent: Mapping[str, float] | None = None, **fields: Any
    ) -> None:
        self._service.metrics.ended(outcome, spent or {})
        action = "committed" if outcome == "succeeded" else outcome
        if spent:
            fields["timings"] = spent
        self._log(action, prediction_id=prediction_id, fence=fence, **fields)


def _read(body: bytes) -> SegmentRequested:
    """Raises `Malformed`."""
    delivery = envelope.decode(body)
    return SegmentRequested.from_message(delivery.data, delivery.attributes)


def _size(prediction: Prediction) -> tuple[int, int]:
    """(width, height) in px, as accept found them in the header."""
    return int(prediction.input.get("width", 0)), int(prediction.input.get("height", 0))


def _seconds_queued(held: Claim, lease: float) -> float:
    """From the queue to the claim, by the store's clock."""
    claimed = held.lease_expire_time - timedelta(seconds=lease)
    began = held.prediction.publish_time or held.prediction.create_time
    return max(0.0, (claimed - began).total_seconds())


def _input(found: Segmented, sha256: str, size: int) -> dict[str, Any]:
    return {
        "contentType": found.content_type,
        "width": found.width,
        "height": found.height,
        "sha256": sha256,
        "sizeBytes": size,
    }


def _result(found: Segmented, mask: ObjectInfo, others: list[ObjectInfo]) -> dict[str, Any]:
    return {
        "bucket": mask.bucket,
        "object": mask.name,
        "generation": mask.generation,
        "outputs": {name: info.name for name, info in zip(found.outputs, others, strict=True)},
        "sha256": found.mask.sha256,
        "width": found.width,
        "height": found.height,
        "classes": found.mask.classes,
    }
