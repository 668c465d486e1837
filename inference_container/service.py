"""The state of one instance that its routes share: loading, ready, stopping, or broken."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime

from inference_container.admission import Admission
from inference_container.faults import DeviceBroken
from inference_container.lifecycle import ColdStart, InstanceRecord, Loaded
from inference_container.metrics import Metrics
from inference_container.pipeline import Pipeline
from inference_container.workers import DEAD
from shared.errors import Misconfigured, Retryable
from shared.logs import Log
from shared.settings import Settings


class Service:
    """`stop` ends the server; `failure` is then the line for a person, if there is something to say."""

    def __init__(self, settings: Settings, log: Log, stop: Callable[[], None]) -> None:
        self.settings = settings
        self.log = log
        self.metrics = Metrics()
        self.admission = Admission(settings.instance_capacity, settings.work_budget_seconds)
        self.metrics.in_flight.set_function(lambda: self.admission.inside)
        self.metrics.seconds_per_photo.set_function(lambda: self.admission.seconds_per_photo)
        self.cold_start: ColdStart | None = None
        self.stopped = asyncio.Event()
        self.failure = ""
        self.record: InstanceRecord | None = None
        self._stop = stop
        self._pipeline: asyncio.Future[Pipeline] = asyncio.get_running_loop().create_future()
        self._unpaid = 0.0  # ms of cold start that no photo has on its bill yet
        self._ready_time = datetime.now(UTC)

    @property
    def ready(self) -> bool:
        return self._pipeline.done() and self.cold_start is not None and not self.stopped.is_set()

    async def load(self, loading: Future[Loaded]) -> None:
        """Wait for the model; if it cannot be used, say why and stop."""
        try:
            loaded = await asyncio.wrap_future(loading)
            pipeline = Pipeline(loaded.device, self.settings.max_batch, self.settings.batch_wait_ms / 1000)
        except Misconfigured as error:
            self.fail(str(error))
            return
        except Exception as error:
            self.fail(f"the model could not be loaded ({type(error).__name__})")
            return
        pipeline.batcher.on_batch = self._observe_batch
        self.cold_start = loaded.cold_start
        self._unpaid = loaded.cold_start.total_ms
        self._ready_time = datetime.now(UTC)
        self.metrics.ready(loaded.cold_start)
        self.log("ready", device=loaded.device.kind, coldStart=loaded.cold_start.to_data())
        if self.record:
            self.record.ready(pipeline.manifest, loaded.cold_start)
        gc.freeze()  # a full collection of all that was imported would stop the loop for 0.1 s
        if not self._pipeline.done():
            self._pipeline.set_result(pipeline)

    async def watch(self, loading: Future[Loaded]) -> None:
        """A dead worker ends the instance before it meets a photo: that would cost the photo one of its claims."""
        with suppress(Exception):  # `load` tells
            loaded = await asyncio.wrap_future(loading)
            await asyncio.wrap_future(loaded.device.died)
            self.broken(DeviceBroken(DEAD))

    def _observe_batch(self, photos: int, seconds: float) -> None:
        self.metrics.batches.observe(photos)
        self.admission.seconds_per_photo = self._pipeline.result().batcher.seconds_per_photo

    async def pipeline(self) -> Pipeline:
        """Once it is loaded. Raises `Retryable` when this process is about to end."""
        pipeline = await asyncio.shield(self._pipeline)
        if self.stopped.is_set():
            raise Retryable("This instance is stopping.")
        return pipeline

    def take_cold_start(self, began: datetime) -> float:
        """Milliseconds, for the first photo that was there (since `began`) before this instance; 0 for all others."""
        if began > self._ready_time:
            return 0.0
        paid, self._unpaid = self._unpaid, 0.0
        return paid

    def fail(self, message: str) -> None:
        """End this process with `message`; what waits is told to try elsewhere."""
        if not self.failure:
            self.log.error("failed", message=message)
        self.failure = self.failure or message
        self.stop()

    def broken(self, error: DeviceBroken) -> None:
        self.fail(f"{error}; only a new process helps")

    def stop(self) -> None:
        self.stopped.set()
        if not self._pipeline.done():
            self._pipeline.set_exception(Retryable("This instance is stopping."))
            self._pipeline.exception()  # seen, even if nobody waited
        self._stop()
