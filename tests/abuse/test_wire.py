"""S8, S10: what arrives on the wire as no client would send it, at the real gateway before the real object server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from local.stack import free_ports, url
from tests.integration.objectservers import ObjectServer, object_server
from tests.integration.test_gateway import gateway, raw, wait_for

PATIENCE = 5.0  # s for a connection that might stay open
HIDDEN = "GET /v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Recorder:
    """An API that remembers what reached it."""

    def __init__(self) -> None:
        self.targets: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.targets.append(scope["raw_path"].decode())
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@dataclass
class Scene:
    """`folder` holds the data folder, and beside it a canary that nobody may touch or read."""

    url: str
    api: Recorder
    objects: ObjectServer
    folder: Path

    def send(self, data: bytes) -> bytes:
        """Raw bytes in, everything that comes back."""
        address = urlsplit(self.url)
        assert address.port is not None
        with socket.create_connection(("127.0.0.1", address.port), timeout=PATIENCE) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while chunk := connection.recv(1 << 16):
                    answer += chunk
            except (TimeoutError, ConnectionResetError):
                pass
            return answer

    def outside(self) -> dict[str, bytes]:
        """Every file that is not in the data folder."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files if self.objects.data not in path.parents}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("wire")
    (folder / "canary.txt").write_text("SECRET CANARY")
    data = folder / "data"
    data.mkdir()
    (data / "run").mkdir()
    (data / "run" / "token.pem").write_text("SECRET CANARY")
    api = Recorder()
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(api, port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, "the API to start")
        with object_server(data) as objects, gateway(data, url(port), objects.url) as base:
            yield Scene(base, api, objects, folder)
    finally:
        server.should_exit = True
        thread.join()


def chunked(body: str) -> str:
    return f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"


HEAD = "POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED: dict[str, str] = {
    "length and chunks": f"{HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunks and length": f"{HEAD}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{HIDDEN}",
    "two lengths": f"{HEAD}Content-Length: 0\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "two lengths in one": f"{HEAD}Content-Length: 0, {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a negative length": f"{HEAD}Content-Length: -1\r\n\r\n{HIDDEN}",
    "a length with a sign": f"{HEAD}Content-Length: +0\r\n\r\n{HIDDEN}",
    "a length in hex": f"{HEAD}Content-Length: 0x0\r\n\r\n{HIDDEN}",
    "a length beyond 64 bits": f"{HEAD}Content-Length: 18446744073709551617\r\n\r\n{HIDDEN}",
    "a space before the colon": f"{HEAD}Content-Length : 0\r\n\r\n{HIDDEN}",
    "chunked, sort of": f"{HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunked twice": f"{HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunked by tab": f"{HEAD}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a folded header": f"{HEAD}X: 1\r\n Content-Length: 0\r\n\r\n",
    "a bare line feed": f"{HEAD}X: 1\nContent-Length: 0\r\n\r\n",
    "a bare carriage return": f"{HEAD}X: 1\rContent-Length: 0\r\n\r\n",
    "a NUL in a header": f"{HEAD}X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "a chunk size that is none": f"{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n{HIDDEN}",
    "a chunk size that is too large": f"{HEAD}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{HIDDEN}",
    "no host": "GET /v1/predictions HTTP/1.1\r\n\r\n",
    "two hosts": "GET /v1/predictions HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "another host in the target": "GET http://evil.example/v1/smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a method that is none": "GE T /v1/predictions HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no HTTP at all": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_no_request_hides_in_another(scene: Scene, name: str) -> None:
    scene.api.targets.clear()
    answer = scene.send(SMUGGLED[name].encode("latin-1"))
    assert "/v1/smuggled" not in scene.api.targets
    assert len(scene.api.targets) <= 1
    assert answer.count(b"HTTP/1.1 ") <= 2


TRAVERSALS = [
    "/samples/../run/token.pem", "/samples/%2e%2e/run/token.pem", "/samples/..%2frun%2ftoken.pem", "/../canary.txt",
    "/samples/..%5c..%5crun%5ctoken.pem", "/samples/%252e%252e/run/token.pem", "/samples//etc/passwd", "//etc/passwd",
    "/%2e%2e/%2e%2e/canary.txt", "/..%2f..%2fcanary.txt", "/samples/%00", "/samples/.%00./run/token.pem",
    "/samples/..;/run/token.pem", "/samples/\u2025/run/token.pem", "/.git/config", "/index.html/../../shared/ids.py",
    "/samples/..%c0%af..%c0%afrun/token.pem", "/storage/download/uploads/..%2f..%2frun%2ftoken.pem",
    "/storage/download/../../run/token.pem", "/storage/download/..%2f..%2fuploads/x", "/storage/upload/../v1/b",
    "/storage/download/%2e%2e/v1/b/uploads/o", "/storage/v1/b/uploads/o", "/storage%2fv1%2fb",
    "/upload/storage/v1/b/uploads/o", "/v1/../storage/v1/b", "/storage/download/uploads", "/metrics/../run/token.pem",
]  # fmt: skip


@pytest.mark.parametrize("target", TRAVERSALS)
def test_no_path_leads_to_what_is_not_served(scene: Scene, target: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        status, _, body = raw(scene.url, method, quote(target, safe="/%;=&?\\"))
        assert b"SECRET CANARY" not in body
        assert b"root:" not in body
        assert b'"items"' not in body
        assert b"storage#" not in body
        if not target.startswith("/v1/"):
            assert status >= 400, (method, target)
    assert not any(target.startswith("/storage") for target in scene.api.targets)


NAMES = [
    "../x", "..%2fx", "a/../../x", "/etc/passwd", "\\..\\x", ".", "..", "a/./b", "a//b", "a/", " ", "a ", "a.", "CON",
    "NUL.png", "e\u0301", "\u00e9", "A", "a", "👩‍👩‍👧", "\u202egnp.exe", "\ufeffx", "\u200b", "a#1", "*", "a?b=c",
    "<script>alert(1)</script>", "'; DROP TABLE objects;--", "$(reboot)", "`id`", "-rf", "%s%n", "{{7*7}}", "${jndi:x}",
    "\x1b[31mred", "\x7f", "__x__", "x" * 1024, "ü" * 512, ".well-known/x", "predictions/p/1/1/mask.png",
]  # fmt: skip
FORBIDDEN = ["", "a\nb", "a\rb", "a\0b", "x" * 1025, "ü" * 513, ".well-known/acme-challenge/x", "\ud800"]


def test_any_name_stays_in_the_data_folder_and_names_one_object(scene: Scene) -> None:
    before = scene.outside()
    for name in NAMES:
        if name in (".", ".."):
            continue
        request = scene.objects.sign(name)
        answer = httpx.put(request.url, content=name.encode()[:900], headers=dict(request.headers))
        assert answer.status_code == 200, name
    stored = {info.name for info in scene.objects.objects.list("uploads")}
    assert set(NAMES) - {".", ".."} <= stored
    for name in sorted(stored & set(NAMES)):
        assert scene.objects.objects.get("uploads", name) == name.encode()[:900]
    assert scene.outside() == before


@pytest.mark.parametrize("name", [*FORBIDDEN, ".", ".."])
def test_a_name_that_cannot_be_is_refused_in_one_step(scene: Scene, name: str) -> None:
    target = f"/storage/upload/uploads/{quote(name, safe='', errors='surrogatepass')}"
    status, _, _ = raw(scene.objects.url, "PUT", f"{target}?expires=99999999999&signature=x")
    assert 400 <= status < 500
    assert name not in {info.name for info in scene.objects.objects.list("uploads")}


FIELDS = ("expires", "type", "max", "signature")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("change", ["changed", "missing", "twice", "empty"])
def test_every_field_of_an_upload_url_is_bound(scene: Scene, field: str, change: str) -> None:
    name = f"bound-{field}-{change}"
    request = scene.objects.sign(name)
    parts = urlsplit(request.url)
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    other = {"expires": "99999999999", "type": "text/html", "max": "999999999", "signature": "0" * 64}[field]
    pairs = list(query.items())
    if change == "changed":
        pairs = [(key, other if key == field else value) for key, value in pairs]
    elif change == "missing":
        pairs = [(key, value) for key, value in pairs if key != field]
    elif change == "empty":
        pairs = [(key, "" if key == field else value) for key, value in pairs]
    else:
        pairs.append((field, other))
    answer = httpx.put(parts._replace(query=urlencode(pairs)).geturl(), content=b"x", headers=dict(request.headers))
    assert (answer.status_code, answer.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert not scene.objects.exists(name)


def test_pages_of_other_origins_get_signed_urls_and_nothing_else(scene: Scene) -> None:
    origin = {"origin": "https://evil.example"}
    assert "access-control-allow-origin" not in httpx.get(f"{scene.url}/v1/predictions", headers=origin).headers
    assert "access-control-allow-origin" not in httpx.get(f"{scene.url}/", headers=origin).headers
    assert httpx.get(f"{scene.objects.url}/storage/v1/b", headers=origin).status_code == 403
    preflight = httpx.options(f"{scene.url}/v1/predictions", headers=origin | {"access-control-request-method": "POST"})
    assert "access-control-allow-origin" not in preflight.headers


def test_a_photo_is_served_as_data_that_can_do_nothing(scene: Scene) -> None:
    scene.objects.objects.put("uploads", "page.html", b"<script>alert(1)</script>", "text/html")
    link = scene.objects.sign("page.html", "GET").url.replace(scene.objects.url, scene.url)
    answer = httpx.get(link)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
