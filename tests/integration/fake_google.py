"""A stand-in for a project on Google Cloud, as `maskline doctor` asks it: gRPC and JSON, refusals in recorded shape."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
from google.cloud import run_v2
from google.cloud.firestore_v1.types import RunQueryRequest, RunQueryResponse
from google.protobuf import any_pb2
from google.pubsub_v1.types import Topic
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from shared.adapters.google import values
from shared.ports import Data

PROJECT, REGION = "my-maskline", "europe-west4"
SERIES = "/v3/projects/my-maskline/timeSeries"
QUOTA = "/v1/projects/my-maskline/locations/global/services/run.googleapis.com/quotaInfos/"


@dataclass
class Google:
    """`refused`: what a gRPC service or a JSON path that begins so is answered instead; `documents` by collection;
    `series` by metric, a list for each page, and what it was `asked`."""

    grpc_host: str = ""
    url: str = ""
    refused: dict[str, Any] = field(default_factory=dict)
    documents: dict[str, list[Data]] = field(default_factory=dict)
    quota: list[dict[str, Any]] = field(default_factory=list)
    series: dict[str, list[list[Any]]] = field(default_factory=dict)
    asked: list[dict[str, list[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As a project that answers everything and holds nothing."""
        for kept in (self.refused, self.documents, self.series, self.asked):
            kept.clear()
        self.quota = [
            {"dimensions": {"region": REGION}, "details": {"value": "3"}, "applicableLocations": [REGION]},
            {"details": {}, "applicableLocations": ["europe-west1", "us-central1"]},
        ]

    def stream(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._check("google.firestore.v1.Firestore", context)
        collection = RunQueryRequest.deserialize(request).structured_query.from_[0].collection_id
        for number, data in enumerate(self.documents.get(collection, [])):
            row = RunQueryResponse.pb(RunQueryResponse())
            row.document.name = f"projects/{PROJECT}/databases/(default)/documents/{collection}/{number}"
            values.write(data, row.document.fields)
            yield row.SerializeToString()

    def unary(self, service: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._check(service, context)
        if service.startswith("google.pubsub"):
            return bytes(Topic.serialize(Topic(name="projects/my-maskline/topics/any")))
        share = run_v2.TrafficTarget(type_=1, percent=100)
        return bytes(run_v2.Service.serialize(run_v2.Service(latest_ready_revision="a/segment-1", traffic=[share])))

    def _check(self, service: str, context: grpc.ServicerContext) -> None:
        if service in self.refused:
            context.abort_with_status(rpc_status.to_status(self.refused[service]))

    def get(self, path: str) -> tuple[int, Mapping[str, Any]]:
        for prefix, answer in self.refused.items():
            if path.startswith(prefix):
                code: int = answer["error"]["code"]
                return code, answer
        if path.startswith(SERIES):
            return 200, self._page(parse_qs(urlsplit(path).query))
        return 200, {"dimensionsInfos": self.quota} if path.startswith(QUOTA) else {"kind": "storage#objects"}

    def _page(self, query: dict[str, list[str]]) -> Mapping[str, Any]:
        """An empty answer has no `timeSeries`, the last page no token."""
        self.asked.append(query)
        pages = self.series.get(query["filter"][0].rsplit("/", 1)[1].rstrip('"'), [])
        number = int(query.get("pageToken", ["0"])[0])
        rows = {"timeSeries": pages[number]} if number < len(pages) and pages[number] else {}
        return {**rows, **({"nextPageToken": str(number + 1)} if number + 1 < len(pages) else {}), "unit": "1"}


def status(code: str, message: str, reason: str = "", **metadata: str) -> status_pb2.Status:
    """As gRPC services refuse: the reason travels in an ErrorInfo."""
    answer = status_pb2.Status(code=code_pb2.Code.Value(code), message=message)
    if reason:
        packed = any_pb2.Any()
        packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="googleapis.com", metadata=metadata))
        answer.details.append(packed)
    return answer


def problem(code: int, message: str, reason: str = "", **metadata: str) -> dict[str, Any]:
    """As JSON services refuse."""
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    details = [{"@type": kind, "reason": reason, "domain": "googleapis.com", "metadata": metadata}] if reason else []
    errors = [{"message": message, "domain": "global", "reason": "forbidden"}]
    return {"error": {"code": code, "message": message, "errors": errors, "details": details}}


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, google: Google) -> None:
        self._google = google

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        service, _, method = call.method.removeprefix("/").partition("/")
        if method == "RunQuery":
            return grpc.unary_stream_rpc_method_handler(self._google.stream)
        return grpc.unary_unary_rpc_method_handler(partial(self._google.unary, service))


@contextmanager
def serving() -> Iterator[Google]:
    google = Google()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, answer = google.get(self.path)
            text = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json; charset=UTF-8")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = grpc.server(ThreadPoolExecutor(4), handlers=(_Methods(google),))
    google.grpc_host = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    google.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield google
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
        server.stop(0).wait()
