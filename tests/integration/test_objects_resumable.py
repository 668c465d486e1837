"""A photo in pieces through a signed URL, against the real process: what a phone on a bad network does."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from shared.errors import NotFound
from tests.integration.containers import PATIENCE, wait_for
from tests.integration.objectservers import ObjectServer, object_server

PHOTO = hashlib.sha256(b"a photo").digest() * 20_000  # 640,000 bytes
PIECE = 256 << 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with object_server(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"users/ann/{request.node.name}"


def start(server: ObjectServer, name: str, most: int = len(PHOTO)) -> str:
    """The address of a new session."""
    request = server.sign(name, "POST", max_bytes=most)
    answer = httpx.post(request.url, headers=dict(request.headers), timeout=PATIENCE)
    assert (answer.status_code, answer.content) == (201, b"")
    return answer.headers["location"]


def send(session: str, first: int, stop: int, total: int | None = len(PHOTO)) -> httpx.Response:
    """Bytes [first, stop) of the photo; `total` None: not known yet."""
    headers = {"content-range": f"bytes {first}-{stop - 1}/{'*' if total is None else total}"}
    return httpx.put(session, content=PHOTO[first:stop], headers=headers, timeout=PATIENCE)


def ask(session: str, total: int = len(PHOTO)) -> httpx.Response:
    """How far did it get?"""
    return httpx.put(session, headers={"content-range": f"bytes */{total}"}, timeout=PATIENCE)


def there(session: str) -> int | None:
    """How many bytes the server has, as it says itself; None: another request is still being written."""
    answer = ask(session)
    if answer.status_code == 429:
        return None
    assert answer.status_code == 308
    return int(answer.headers["range"].rpartition("-")[2]) + 1 if "range" in answer.headers else 0


def break_off(session: str, first: int, count: int) -> None:
    """Announces the rest of the photo, sends `count` bytes of it and hangs up."""
    to = urlsplit(session)
    head = [f"PUT {to.path}?{to.query} HTTP/1.1", f"host: {to.netloc}", f"content-length: {len(PHOTO) - first}"]
    head.append(f"content-range: bytes {first}-{len(PHOTO) - 1}/{len(PHOTO)}")
    with socket.create_connection((to.hostname, to.port)) as sender:
        sender.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + PHOTO[first : first + count])


def test_pieces_become_the_object(server: ObjectServer, name: str) -> None:
    session = start(server, name)
    assert session.startswith(server.url + "/storage/upload/uploads/")
    stored = server.metric('maskline_objects_stored_total{way="signed"}')
    first = send(session, 0, PIECE, total=None)
    assert (first.status_code, first.headers["range"]) == (308, f"bytes=0-{PIECE - 1}")
    assert not server.exists(name)
    last = send(session, PIECE, len(PHOTO))
    info = server.objects.stat("uploads", name)
    assert (last.status_code, last.headers["x-goog-generation"]) == (200, str(info.generation))
    assert (info.content_type, server.objects.get("uploads", name)) == ("image/jpeg", PHOTO)
    assert server.metric('maskline_objects_stored_total{way="signed"}') == stored + 1
    again = ask(session)
    assert (again.status_code, again.headers["x-goog-generation"]) == (200, str(info.generation))


def test_a_broken_connection_costs_only_what_was_not_there_yet(server: ObjectServer, name: str) -> None:
    session = start(server, name)
    send(session, 0, PIECE)
    break_off(session, PIECE, 100_000)
    had = wait_for(lambda: there(session), "the server still writes")
    assert PIECE <= had <= PIECE + 100_000
    assert send(session, had, len(PHOTO)).status_code == 200
    assert server.objects.get("uploads", name) == PHOTO


def test_a_killed_server_carries_on(tmp_path: Path) -> None:
    with object_server(tmp_path) as server:
        session = start(server, "a")
        send(session, 0, PIECE)
        server.kill()
    with object_server(tmp_path) as server:
        session = session.replace(urlsplit(session).netloc, urlsplit(server.url).netloc)
        assert there(session) == PIECE
        assert send(session, PIECE, len(PHOTO)).status_code == 200
        assert server.objects.get("uploads", "a") == PHOTO


def test_pieces_that_came_already_are_skipped(server: ObjectServer, name: str) -> None:
    session = start(server, name)
    send(session, 0, PIECE)
    assert send(session, 0, len(PHOTO)).status_code == 200
    assert server.objects.get("uploads", name) == PHOTO


def test_more_than_was_signed_for_never_becomes_an_object(server: ObjectServer, name: str) -> None:
    announced = start(server, name, most=PIECE)
    assert send(announced, 0, PIECE, total=len(PHOTO)).status_code == 413
    silent = start(server, name, most=PIECE)
    assert send(silent, 0, PIECE, total=None).status_code == 308
    assert send(silent, PIECE, 2 * PIECE, total=None).status_code == 413
    assert httpx.put(silent, content=PHOTO, timeout=PATIENCE).status_code == 413
    assert ask(silent, total=PIECE).status_code == 200
    assert server.objects.get("uploads", name) == PHOTO[:PIECE]


def test_nothing_is_no_photo(server: ObjectServer, name: str) -> None:
    session = start(server, name)
    assert httpx.put(session, content=b"").status_code == 400
    assert ask(session, total=0).status_code == 400
    assert not server.exists(name)


def test_a_session_is_started_by_its_own_signature_only(server: ObjectServer, name: str) -> None:
    request, whole = server.sign(name, "POST"), server.sign(name, "PUT")
    assert httpx.post(whole.url, headers=dict(request.headers)).status_code == 403
    assert httpx.put(request.url, content=PHOTO[:10], headers=dict(whole.headers)).status_code == 403
    for header in request.headers:
        assert httpx.post(request.url, headers={**request.headers, header: "1"}).status_code == 403
    late = server.sign(name, "POST", seconds=-5)
    assert httpx.post(late.url, headers=dict(late.headers)).status_code == 403


def test_of_two_uploads_the_first_to_end_wins(server: ObjectServer, name: str) -> None:
    sessions = [start(server, name) for _ in range(2)]
    assert send(sessions[0], 0, len(PHOTO)).status_code == 200
    assert send(sessions[1], 0, len(PHOTO)).status_code == 412
    request = server.sign(name, "POST")
    assert httpx.post(request.url, headers=dict(request.headers)).status_code == 412


def test_a_session_that_nobody_started_is_not_found(server: ObjectServer, name: str) -> None:
    session = start(server, name).partition("upload_id=")[0] + "upload_id="
    for unknown in ("", "0" * 32, "../../objects"):
        assert send(session + unknown, 0, PIECE).status_code == 404
        assert httpx.delete(session + unknown).status_code == 404


def test_a_cancelled_upload_leaves_nothing(server: ObjectServer, name: str) -> None:
    session = start(server, name)
    send(session, 0, PIECE)
    assert httpx.delete(session).status_code == 499
    assert send(session, PIECE, len(PHOTO)).status_code == 404
    with pytest.raises(NotFound):
        server.objects.stat("uploads", name)


def test_pages_of_other_origins_may_do_so(server: ObjectServer, name: str) -> None:
    page = {"origin": "https://app.example"}
    request = server.sign(name, "POST")
    preflight = httpx.options(request.url, headers=page | {"access-control-request-method": "POST"})
    allowed = preflight.headers["access-control-allow-headers"].split(", ")
    assert {*request.headers, "content-range"} <= set(allowed)
    assert {"POST", "PUT"} <= set(preflight.headers["access-control-allow-methods"].split(", "))
    answer = httpx.post(request.url, headers={**request.headers, **page})
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"location", "range"} <= set(exposed)
