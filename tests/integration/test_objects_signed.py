"""Signed URLs over HTTP, against the real process."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from shared.ports import SignedRequest
from tests.integration.containers import PATIENCE, free_port, wait_for
from tests.integration.objectservers import ObjectServer, object_server

PHOTO = bytes(range(256)) * 3
NONE: Mapping[str, str] = {}
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with object_server(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"users/ann/{request.node.name}"


def put(request: SignedRequest, data: bytes = PHOTO, headers: Mapping[str, str] = NONE) -> httpx.Response:
    return httpx.put(request.url, content=data, headers={**request.headers, **headers}, timeout=PATIENCE)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status code and status word, which every error has; and none tells where things are."""
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    assert set(error) == {"code", "status", "message", "details"}
    assert "/" not in error["message"].replace("image/jpeg", "")
    return error["code"], error["status"]


def test_a_photo_goes_up_and_comes_down(server: ObjectServer, name: str) -> None:
    answer = put(server.sign(name))
    info = server.objects.stat("uploads", name)
    assert answer.status_code == 200
    assert answer.headers["x-goog-generation"] == str(info.generation)
    assert (info.content_type, server.objects.get("uploads", name)) == ("image/jpeg", PHOTO)
    down = httpx.get(server.sign(name, "GET").url)
    assert (down.status_code, down.content) == (200, PHOTO)
    assert down.headers["content-type"] == "image/jpeg"
    assert down.headers["x-content-type-options"] == "nosniff"
    assert down.headers["cache-control"].startswith("private")
    assert down.headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize("odd", ["a/../b", "../../etc/passwd", "é ü", "a%2Fb", "?q=1#f", "a//b", "x" * 1000, "日本/写"])
def test_any_name_is_one_segment(server: ObjectServer, odd: str) -> None:
    assert put(server.sign(odd)).status_code == 200
    assert server.exists(odd)
    assert httpx.get(server.sign(odd, "GET").url).content == PHOTO


def test_a_second_upload_is_refused_and_changes_nothing(server: ObjectServer, name: str) -> None:
    request = server.sign(name)
    put(request)
    assert refusal(put(request, b"other")) == (412, "FAILED_PRECONDITION")
    assert server.objects.get("uploads", name) == PHOTO


def test_of_many_uploads_at_once_one_wins_whole(server: ObjectServer, name: str) -> None:
    request = server.sign(name, max_bytes=MIB)

    def attempt(n: int) -> int:
        return put(request, bytes([n]) * 300_000).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(attempt, range(8)))
    assert sorted(codes) == [200] + [412] * 7
    assert server.objects.get("uploads", name) == bytes([codes.index(200)]) * 300_000
    assert server.parts() == []


@pytest.mark.parametrize(
    ("key", "value"), [("expires", "9999999999"), ("type", "image/png"), ("max", "99999999"), ("signature", "0" * 64)]
)
def test_a_changed_field_spoils_the_signature(server: ObjectServer, name: str, key: str, value: str) -> None:
    request = server.sign(name)
    parts = urlsplit(request.url)
    for query in ({**dict(parse_qsl(parts.query)), key: value}, _without(parts.query, key)):
        url = parts._replace(query=urlencode(query)).geturl()
        answer = httpx.put(url, content=PHOTO, headers=dict(request.headers))
        assert refusal(answer) == (403, "PERMISSION_DENIED")
    assert not server.exists(name)


def _without(query: str, key: str) -> dict[str, str]:
    return {name: value for name, value in parse_qsl(query) if name != key}


def test_a_url_is_good_for_its_object_and_method_only(server: ObjectServer, name: str) -> None:
    request = server.sign(name)
    elsewhere = (
        request.url.replace("users%2Fann", "users%2Fbob"),
        request.url.replace("/uploads/", "/results/"),
        request.url.replace("users%2Fann", "users/ann"),
    )
    for url in elsewhere:
        assert httpx.put(url, content=PHOTO, headers=dict(request.headers)).status_code in (403, 404)
    assert refusal(httpx.get(request.url.replace("/upload/", "/download/"))) == (403, "PERMISSION_DENIED")
    assert refusal(httpx.get(request.url)) == (405, "METHOD_NOT_ALLOWED")
    assert httpx.delete(server.sign(name, "GET").url).status_code == 405
    assert put(request).status_code == 200


def test_an_expired_url_is_refused(server: ObjectServer, name: str) -> None:
    assert refusal(put(server.sign(name, seconds=-5))) == (403, "PERMISSION_DENIED")
    assert refusal(httpx.get(server.sign(name, "GET", seconds=-5).url)) == (403, "PERMISSION_DENIED")


def test_a_url_that_binds_headers_wants_exactly_these(server: ObjectServer, name: str) -> None:
    request = server.sign(name)
    for header in request.headers:
        assert refusal(put(request, headers={header: "image/gif"})) == (403, "PERMISSION_DENIED")
    assert refusal(httpx.put(request.url, content=PHOTO)) == (403, "PERMISSION_DENIED")
    assert not server.exists(name)


def test_too_large_is_refused_before_the_body_is_read(server: ObjectServer, name: str) -> None:
    request = server.sign(name)
    parts = urlsplit(request.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    connection.putrequest("PUT", f"{parts.path}?{parts.query}")
    for header, value in {**request.headers, "content-length": "1001"}.items():
        connection.putheader(header, value)
    connection.endheaders()  # not one byte of the body follows
    assert connection.getresponse().status == 413
    connection.close()


def test_too_large_without_a_length_is_refused_on_the_way(server: ObjectServer, name: str) -> None:
    request = server.sign(name)
    answer = httpx.put(request.url, content=(b"x" * 400 for _ in range(3)), headers=dict(request.headers))
    assert refusal(answer) == (413, "INVALID_ARGUMENT")
    assert not server.exists(name)
    assert server.parts() == []


def test_exactly_the_limit_fits_and_nothing_does_not(server: ObjectServer, name: str) -> None:
    assert refusal(put(server.sign(name), b"")) == (400, "INVALID_ARGUMENT")
    assert refusal(httpx.put(server.sign(name).url, content=iter([b""]), headers=dict(server.sign(name).headers))) == (
        400,
        "INVALID_ARGUMENT",
    )
    assert put(server.sign(name), b"x" * 1000).status_code == 200


def test_bytes_must_have_the_checksum_that_is_sent_with_them(server: ObjectServer, name: str) -> None:
    md5 = base64.b64encode(hashlib.md5(PHOTO).digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    for headers in ({"x-goog-hash": f"md5={wrong}"}, {"content-md5": wrong}, {"x-goog-hash": "crc32c=AAAAAA=="}):
        assert refusal(put(server.sign(name), headers=headers)) == (400, "INVALID_ARGUMENT")
    assert not server.exists(name)
    info = put(server.sign(name), headers={"x-goog-hash": f"md5={md5}", "content-md5": md5})
    assert info.status_code == 200


def test_a_broken_connection_leaves_nothing(server: ObjectServer, name: str) -> None:
    request = server.sign(name, max_bytes=4 * MIB)
    parts = urlsplit(request.url)
    lines = [f"PUT {parts.path}?{parts.query} HTTP/1.1", f"host: {parts.netloc}", f"content-length: {2 * MIB}"]
    lines += [f"{header}: {value}" for header, value in request.headers.items()]
    with socket.create_connection((parts.hostname, parts.port)) as sender:
        sender.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + b"x" * MIB)
        wait_for(server.parts, "the upload never began")
    wait_for(lambda: not server.parts(), "the part stayed")
    assert not server.exists(name)
    assert put(request).status_code == 200


def test_a_large_upload_and_download_take_little_memory(tmp_path: Path) -> None:
    size = 64 * MIB
    with object_server(tmp_path) as server:
        put(server.sign("warm"))
        before = _peak(server.process.pid)
        request = server.sign("large", max_bytes=size)
        chunks = (os.urandom(1000) * 1048 + b"\0" * 576 for _ in range(size // MIB))  # 1 MiB each
        headers = dict(request.headers) | {"content-length": str(size)}
        assert httpx.put(request.url, content=chunks, headers=headers, timeout=PATIENCE).status_code == 200
        with httpx.stream("GET", server.sign("large", "GET").url, timeout=PATIENCE) as answer:
            assert sum(map(len, answer.iter_bytes())) == size
        assert _peak(server.process.pid) - before < 24 * MIB


def _peak(pid: int) -> int:
    """Bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=10-", 10, 768), ("bytes=-5", 763, 768), ("bytes=700-9999", 700, 768)],
)
def test_ranges(server: ObjectServer, asked: str, start: int, stop: int) -> None:
    server.objects.put("results", "ranged", PHOTO, "image/png")
    answer = httpx.get(server.sign("ranged", "GET", bucket="results").url, headers={"range": asked})
    assert (answer.status_code, answer.content) == (206, PHOTO[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/768"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=a-b", "bytes=0-1,4-5", "lines=0-1", "bytes=-"])
def test_what_is_no_single_range_gets_the_whole(server: ObjectServer, asked: str) -> None:
    server.objects.put("results", "ranged", PHOTO, "image/png")
    answer = httpx.get(server.sign("ranged", "GET", bucket="results").url, headers={"range": asked})
    assert (answer.status_code, answer.content) == (200, PHOTO)


def test_a_range_behind_the_end(server: ObjectServer, name: str) -> None:
    put(server.sign(name))
    answer = httpx.get(server.sign(name, "GET").url, headers={"range": "bytes=768-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */768")


def test_what_a_reader_has_is_not_sent_again(server: ObjectServer, name: str) -> None:
    put(server.sign(name))
    url = server.sign(name, "GET").url
    etag = httpx.get(url).headers["etag"]
    assert httpx.get(url, headers={"if-none-match": etag}).status_code == 304
    assert httpx.get(url, headers={"if-range": etag, "range": "bytes=0-1"}).status_code == 206
    assert httpx.get(url, headers={"if-range": '"older"', "range": "bytes=0-1"}).content == PHOTO


def test_what_is_not_there_is_not_found(server: ObjectServer, name: str) -> None:
    assert refusal(httpx.get(server.sign(name, "GET").url)) == (404, "NOT_FOUND")
    for path in ("/storage/upload/uploads", "/storage/", "/nothing", "/storage/upload/uploads/a/b"):
        assert refusal(httpx.put(server.url + path)) == (404, "NOT_FOUND")
    assert refusal(httpx.get(server.url + "/storage/download/uploads/%FF")) == (400, "INVALID_ARGUMENT")


def test_pages_of_other_origins_may_use_it(server: ObjectServer, name: str) -> None:
    request = server.sign(name)
    page = {"origin": "https://app.example", "access-control-request-method": "PUT"}
    preflight = httpx.options(request.url, headers=page)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    allowed = preflight.headers["access-control-allow-headers"].split(", ")
    assert set(request.headers) <= set(allowed)
    for answer in (put(request, headers=page), put(request, headers=page)):
        assert answer.headers["access-control-allow-origin"] == "*"  # refusals can be read, too


def test_pages_may_not_use_the_json_api(server: ObjectServer) -> None:
    page = {"origin": "https://app.example"}
    answer = httpx.post(server.url + "/upload/storage/v1/b/uploads/o?uploadType=media&name=x", headers=page)
    assert refusal(answer) == (403, "PERMISSION_DENIED")
    assert httpx.options(server.url + "/storage/v1/b/uploads/o/x", headers=page).status_code == 403


def test_it_stops_when_it_is_told_to(tmp_path: Path) -> None:
    with object_server(tmp_path) as server:
        assert server.stop() == 0


def test_a_taken_port_or_a_data_folder_that_is_none_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert _last_words(tmp_path, port) == (1, 1)
    (tmp_path / "file").write_text("")
    assert _last_words(tmp_path / "file", free_port()) == (1, 1)


def _last_words(data: Path, port: int) -> tuple[int, int]:
    """Exit status and number of lines."""
    command = [sys.executable, "-m", "local.objects", "--port", str(port)]
    done = subprocess.run(command, env=os.environ | {"MASKLINE_DATA": str(data)}, capture_output=True, check=False)
    return done.returncode, len((done.stdout + done.stderr).splitlines())
