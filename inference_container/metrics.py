"""What an instance tells Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from inference_container.lifecycle import ColdStart

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PHOTOS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="maskline", registry=self.registry)
        self.photos = Counter("maskline_photos", "Photos by what became of them", ["outcome"], registry=self.registry)
        self.batches = Histogram("maskline_batch_photos", "Photos per batch", buckets=_PHOTOS, registry=self.registry)
        self.stages = Histogram(
            "maskline_stage_seconds", "Time per photo and stage", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        self._stage = cache(self.stages.labels)  # finding one again takes as long as observing
        self.in_flight = Gauge("maskline_in_flight", "Photos inside this instance", registry=self.registry)
        self.seconds_per_photo = Gauge(
            "maskline_device_seconds_per_photo",
            "What the device, all its workers together, needed lately: its inverse bounds images per second",
            registry=self.registry,
        )
        self.cold_start = Gauge(
            "maskline_cold_start_seconds", "Start of this process, by phase", ["phase"], registry=self.registry
        )

    def ready(self, cold_start: ColdStart) -> None:
        for name, milliseconds in cold_start.to_data().items():
            self.cold_start.labels(name.removesuffix("Ms")).set(milliseconds / 1000)

    def ended(self, outcome: str, milliseconds: Mapping[str, float]) -> None:
        self.photos.labels(outcome).inc()
        for stage, spent in milliseconds.items():
            self._stage(stage).observe(spent / 1000)

    def text(self) -> bytes:
        return generate_latest(self.registry)
