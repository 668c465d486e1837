"""The gateway as its own process, in front of stand-ins for the API and the object server."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread
import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from local.stack import free_ports, url

PATIENCE = 60.0  # s
PARTS = 3  # events of the stand-in's stream


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@dataclass
class StandIn:
    """A service that tells what it was sent, and goes on only when the test says so."""

    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    received: int = 0  # bytes of the last upload
    left: threading.Event = field(default_factory=threading.Event)  # the stream's reader is gone

    async def echo(self, request: Request) -> Response:
        body = await request.body()
        told = {"method": request.method, "path": request.scope["raw_path"].decode(), "query": request.url.query}
        headers = {"x-upstream": "yes", "connection": "x-hop", "x-hop": "1", "set-cookie": "a=b"}
        if "policy" in request.query_params:
            headers["content-security-policy"] = request.query_params["policy"]
        return JSONResponse(told | {"headers": dict(request.headers), "bytes": len(body)}, 207, headers=headers)

    async def events(self, _: Request) -> Response:
        async def stream() -> AsyncIterator[str]:
            try:
                for number in range(PARTS):
                    yield f"data: {number}\n\n"
                    await anyio.to_thread.run_sync(self.go.acquire, abandon_on_cancel=True)
            finally:
                self.left.set()

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def upload(self, request: Request) -> Response:
        self.received = 0
        await anyio.to_thread.run_sync(self.go.acquire, abandon_on_cancel=True)
        async for chunk in request.stream():
            self.received += len(chunk)
        return PlainTextResponse(str(self.received))

    async def broken(self, _: Request) -> Response:
        async def stream() -> AsyncIterator[str]:
            yield "half"
            raise ConnectionError

        return StreamingResponse(stream())

    async def metrics(self, _: Request) -> Response:
        return PlainTextResponse("things_total 3\n")

    def app(self) -> Starlette:
        paths = {"/v1/events": self.events, "/storage/upload/slow": self.upload, "/v1/broken": self.broken}
        routes = [Route(path, handler, methods=["GET", "PUT"]) for path, handler in paths.items()]
        anything = Route("/{rest:path}", self.echo, methods=["GET", "PUT", "POST", "DELETE", "PATCH"])
        return Starlette(routes=[*routes, Route("/metrics", self.metrics), anything])


@contextmanager
def serving(stand_in: StandIn) -> Iterator[str]:
    (port,) = free_ports(1)
    config = uvicorn.Config(stand_in.app(), port=port, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, "the stand-in to start")
        yield url(port)
    finally:
        server.should_exit = True
        for _ in range(PARTS):
            stand_in.go.release()
        thread.join(PATIENCE)


@contextmanager
def gateway(data: Path, upstream: str, objects: str = "") -> Iterator[str]:
    port, nobody = free_ports(2)
    watched = ["--metrics", f"up={upstream}", "--metrics", f"gone={url(nobody)}"]
    command = [sys.executable, "-m", "local.gateway", "--port", str(port), "--api", upstream]
    command += ["--objects", objects or upstream]
    environment = os.environ | {"MASKLINE_DATA": str(data)}
    process = subprocess.Popen([*command, *watched], env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(url(port)), "the gateway to start")
        yield url(port)
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Scene:
    url: str
    upstream: StandIn
    data: Path


@pytest.fixture(name="scene", scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    data = tmp_path_factory.mktemp("data")
    stand_in = StandIn()
    with serving(stand_in) as upstream, gateway(data, upstream) as base:
        yield Scene(base, stand_in, data)


def raw(base: str, method: str, target: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """A request whose target no client has tidied up."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=PATIENCE)
    try:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_path_query_method_and_body_pass_unchanged(scene: Scene) -> None:
    target = "/storage/upload/b/users%2Fada%2F..%2Fcat%20%C3%A9?type=image%2Fjpeg&max=1"
    answer = httpx.put(scene.url + target, content=b"12345", headers={"x-goog-if-generation-match": "0"})
    told = answer.json()
    assert (answer.status_code, told["method"], told["bytes"]) == (207, "PUT", 5)
    assert f"{told['path']}?{told['query']}" == target
    assert told["headers"]["x-goog-if-generation-match"] == "0"


def test_headers_about_one_connection_do_not_pass(scene: Scene) -> None:
    sent = {"Connection": "keep-alive, X-Mine", "X-Mine": "1", "TE": "trailers", "Authorization": "Bearer x"}
    status, headers, body = raw(scene.url, "GET", "/v1/predictions", **sent)
    received = json.loads(body)["headers"]
    assert status == 207
    assert received["authorization"] == "Bearer x"
    assert {"x-mine", "te", "user-agent"} & set(received) == set()
    assert (headers["x-upstream"], headers["set-cookie"], headers["x-hop"]) == ("yes", "a=b", None)
    assert headers.get_all("date") == [headers["date"]]


def test_each_event_passes_at_once(scene: Scene) -> None:
    with httpx.stream("GET", f"{scene.url}/v1/events", timeout=PATIENCE) as answer:
        lines = (line for line in answer.iter_lines() if line)
        for number in range(PARTS):
            assert next(lines) == f"data: {number}"
            scene.upstream.go.release()  # only now may the next one be sent
        assert list(lines) == []


def test_who_leaves_is_not_streamed_to_any_longer(scene: Scene) -> None:
    scene.upstream.left.clear()
    with httpx.stream("GET", f"{scene.url}/v1/events", timeout=PATIENCE) as answer:
        assert next(answer.iter_lines()) == "data: 0"
    assert scene.upstream.left.wait(PATIENCE)
    scene.upstream.go.release()  # the thread that still waits


def test_an_upload_is_passed_on_while_it_arrives(scene: Scene) -> None:
    scene.upstream.go.release()

    def photo() -> Iterator[bytes]:
        yield b"x" * 1000
        wait_for(lambda: scene.upstream.received == 1000, "the first part to arrive")
        yield b"y" * 2000

    answer = httpx.put(f"{scene.url}/storage/upload/slow", content=photo(), timeout=PATIENCE)
    assert answer.text == "3000"


def until_full(sender: socket.socket, size: int) -> int:
    """Bytes of `size` that the other side took before it took no more."""
    sender.settimeout(1)
    sent = 0
    with suppress(TimeoutError):
        while sent < size:
            sent += sender.send(bytes(1 << 20))
    return sent


def test_who_sends_faster_than_the_service_reads_has_to_wait(scene: Scene) -> None:
    size = 256 << 20
    address = urlsplit(scene.url)
    with socket.create_connection((address.hostname, address.port)) as sender:
        sender.sendall(
            f"PUT /storage/upload/slow HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size}\r\n\r\n".encode()
        )
        sent = until_full(sender, size)
    assert sent < size / 4  # the buffers on the way, not the body
    scene.upstream.go.release()


def test_an_answer_that_breaks_is_seen_to_break(scene: Scene) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{scene.url}/v1/broken", timeout=PATIENCE)


def test_a_service_that_is_down_is_503_with_a_time_to_retry(tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    with gateway(tmp_path, url(nobody)) as base:
        for path in ("/v1/predictions", "/storage/upload/a/b"):
            answer = httpx.put(base + path, content=b"photo")
            error = answer.json()["error"]
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert (error["code"], error["status"]) == (503, "UNAVAILABLE")
        assert httpx.get(f"{base}/").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""])
def test_a_foreign_name_for_this_machine_is_refused(scene: Scene, host: str) -> None:
    status, _, body = raw(scene.url, "GET", "/v1/predictions", Host=host)
    assert (status, json.loads(body)["error"]["status"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST:1"])
def test_the_names_of_loopback_are_answered(scene: Scene, host: str) -> None:
    status, headers, body = raw(scene.url, "GET", "/healthz", Host=host)
    assert (status, headers["content-type"], json.loads(body)) == (200, "application/json", {"status": "ok"})


@pytest.mark.parametrize("path", ["/", "/samples/", "/v1/predictions", "/storage/download/a/b", "/nothing"])
def test_whatever_is_served_is_bound_to_our_origin(scene: Scene, path: str) -> None:
    headers = httpx.get(scene.url + path).headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy or policy == "default-src 'none'; frame-ancestors 'none'"  # not a page
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_a_tighter_policy_of_a_service_stays(scene: Scene) -> None:
    headers = httpx.get(f"{scene.url}/storage/download/a/b?policy=sandbox").headers
    assert headers.get_list("content-security-policy") == ["sandbox"]


@pytest.mark.parametrize("path", ["/storage/v1/b/uploads/o", "/storage/", "/upload/storage/v1/b/uploads/o"])
def test_the_storage_api_is_not_for_everybody(scene: Scene, path: str) -> None:
    assert httpx.get(scene.url + path).status_code == 404


def test_metrics_of_all_services_come_as_one_text(scene: Scene) -> None:
    lines = httpx.get(f"{scene.url}/metrics").text.splitlines()
    assert 'maskline_up{service="up"} 1' in lines
    assert 'maskline_up{service="gone"} 0' in lines
    assert "things_total 3" in lines
    assert "# gone is down" in lines


def test_sample_photos_are_listed_and_served_and_nothing_beside_them(scene: Scene) -> None:
    samples = scene.data / "run" / "samples"
    (samples / "cat.jpg").write_bytes(b"photo")
    (samples / ".draft.jpg").write_bytes(b"half")
    (scene.data / "run" / "objects.key").write_bytes(b"secret")
    digest = hashlib.sha256(b"photo").hexdigest()
    listed = [{"name": "cat.jpg", "url": "/samples/cat.jpg", "sizeBytes": 5, "sha256": digest}]
    assert httpx.get(f"{scene.url}/samples/").json() == {"samples": listed}
    assert httpx.get(f"{scene.url}/samples/cat.jpg").content == b"photo"
    for target in ("/samples/../objects.key", "/samples/%2e%2e/objects.key", "/samples/..%2fobjects.key"):
        assert raw(scene.url, "GET", target)[0] == 404


def test_what_is_not_there_is_told_in_json(scene: Scene) -> None:
    assert httpx.get(f"{scene.url}/nothing.js").json()["error"]["status"] == "NOT_FOUND"
    assert httpx.post(f"{scene.url}/").json()["error"]["status"] == "METHOD_NOT_ALLOWED"


def test_a_wrong_method_is_told_the_right_ones(scene: Scene) -> None:
    status, headers, _ = raw(scene.url, "POST", "/healthz")
    assert (status, "GET" in headers["allow"]) == (405, True)
