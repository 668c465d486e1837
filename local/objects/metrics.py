"""What the object server tells Prometheus."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Way = Literal["signed", "api", "import"]  # how an object came in


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.objects = Counter("maskline_objects_stored", "Objects by how they came", ["way"], registry=self.registry)
        self.bytes = Counter("maskline_objects_bytes", "Bytes of these objects", ["way"], registry=self.registry)
        self.relayed = Counter("maskline_objects_relayed", "Notifications given to the broker", registry=self.registry)
        self.outbox = Gauge("maskline_objects_outbox", "Notifications not given to it yet", registry=self.registry)

    def stored(self, way: Way, size: int) -> None:
        self.objects.labels(way).inc()
        self.bytes.labels(way).inc(size)

    def text(self, outbox: int) -> bytes:
        self.outbox.set(outbox)
        return generate_latest(self.registry)
