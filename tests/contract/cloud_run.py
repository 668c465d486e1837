"""A stand-in for the Cloud Run Admin API v2 over gRPC, which has no emulator: services with etags, jobs, faults.

Its answers have the recorded shape of the real ones: full resource names, quoted etags that change with every update,
ABORTED for a stale one, and a long-running operation whose metadata is the service or the execution.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.protobuf import any_pb2

PARENT = "projects/project/locations/europe-west4"
_CONFLICT = "Conflict for resource 'segment': version '1700000000000000' was specified but current version is another."


class CloudRun:
    """`faults`: status codes for the next calls; `before_update` runs between a client's read and its write."""

    def __init__(self) -> None:
        self.host = ""
        self.requests: list[Any] = []
        self.faults: list[grpc.StatusCode] = []
        self.before_update: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        self._writes = 0
        latest = run_v2.TrafficTarget(type_=1, percent=100)
        self.service = run_v2.Service(
            name=f"{PARENT}/services/segment",
            latest_ready_revision=f"{PARENT}/services/segment/revisions/default",
            traffic=[latest],
            etag='"CAEQAA=="',
        )

    def get_service(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._lock:
            self._take(request, context)
            if request.name != self.service.name:
                context.abort(grpc.StatusCode.NOT_FOUND, f"Resource '{request.name}' of kind 'SERVICE' does not exist.")
            return self.service

    def update_service(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.before_update()
        with self._lock:
            self._take(request, context)
            if request.service.etag != self.service.etag:
                context.abort(grpc.StatusCode.ABORTED, _CONFLICT)
            paths = list(request.update_mask.paths)
            if "traffic" in paths:
                self.service.traffic = request.service.traffic
            if "scaling.min_instance_count" in paths:
                self.service.scaling.min_instance_count = request.service.scaling.min_instance_count
            self.touch()
            return _operation(self.service)

    def run_job(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._lock:
            self._take(request, context)
            if request.name.rpartition("/")[2] != "train":
                context.abort(grpc.StatusCode.NOT_FOUND, f"Resource '{request.name}' of kind 'JOB' does not exist.")
            self._writes += 1
            return _operation(run_v2.Execution(name=f"{request.name}/executions/train-{self._writes:05d}"))

    def touch(self) -> None:
        """Somebody changed the service."""
        with self._lock:
            self._writes += 1
            self.service.etag = f'"CAEQ{self._writes:02d}=="'

    def _take(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        if self.faults:
            context.abort(self.faults.pop(0), "a planted fault")


def _operation(metadata: Any) -> Any:
    packed = any_pb2.Any()
    packed.Pack(type(metadata).pb(metadata))
    return operations_pb2.Operation(name=f"{PARENT}/operations/1", metadata=packed)


@contextmanager
def serving() -> Iterator[CloudRun]:
    fake = CloudRun()
    server = grpc.server(ThreadPoolExecutor(4))
    methods: dict[str, dict[str, tuple[Any, ...]]] = {
        "Services": {
            "GetService": (fake.get_service, run_v2.GetServiceRequest, run_v2.Service),
            "UpdateService": (fake.update_service, run_v2.UpdateServiceRequest, None),
        },
        "Jobs": {"RunJob": (fake.run_job, run_v2.RunJobRequest, None)},
    }
    for service, handlers in methods.items():
        named = {name: _handler(*handler) for name, handler in handlers.items()}
        generic = grpc.method_handlers_generic_handler(f"google.cloud.run.v2.{service}", named)
        server.add_generic_rpc_handlers((generic,))
    fake.host = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield fake
    finally:
        server.stop(0).wait()


def _handler(behaviour: Callable[..., Any], request: Any, response: Any) -> grpc.RpcMethodHandler:
    serialize = response.serialize if response else operations_pb2.Operation.SerializeToString
    return grpc.unary_unary_rpc_method_handler(behaviour, request.deserialize, serialize)
