"""Signed upload URLs: V4, signed by a stand-in for IAM's signBlob, verified as Cloud Storage would."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth.credentials import AnonymousCredentials
from google.oauth2.credentials import Credentials
from starlette.applications import Starlette
from starlette.routing import Route

from shared.adapters.google.objects import CloudStorageObjects
from shared.adapters.google.signing import IamSigning
from shared.api.app import Api
from shared.api.view import links_end
from shared.errors import Malformed, Misconfigured
from shared.logs import Log
from shared.ports import SignedRequest
from tests.integration.apis import Backend, announce, backend, caller

ACCOUNT = "api@project.iam.gserviceaccount.com"
SOON = datetime.now(UTC) + timedelta(minutes=15)
WAIT = 10.0  # s for those that must come together
THREADS = 16  # that sign for one API process at most
TOGETHER = 4


class Account(Credentials):
    """Credentials as an instance of Cloud Run has them: an account, a token, no key."""

    service_account_email = ACCOUNT

    def __init__(self) -> None:
        super().__init__("token")  # type: ignore[no-untyped-call]


class Iam:
    """signBlob in the shape of the real answers. `statuses`: what the next requests get instead."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.statuses: list[int] = []
        self.requests: list[tuple[str, str]] = []  # path, authorization
        self.most_at_once = 0
        self.together = threading.Barrier(1)  # how many requests are answered together
        self._now = 0
        self._lock = threading.Lock()

    def answer(self, path: str, authorization: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self._counted(), suppress(threading.BrokenBarrierError):
            self.requests.append((path, authorization))
            self.together.wait(WAIT)
        if self.statuses:
            code = self.statuses.pop(0)
            return code, {"error": {"code": code, "message": "Permission 'iam.serviceAccounts.signBlob' denied"}}
        signed = self.key.sign(base64.b64decode(body["payload"]), padding.PKCS1v15(), hashes.SHA256())
        return 200, {"keyId": "1a2b", "signedBlob": base64.b64encode(signed).decode()}

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        yield
        with self._lock:
            self._now -= 1


@pytest.fixture(scope="module")
def iam_server() -> Iterator[tuple[Iam, str]]:
    iam = Iam()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            code, answer = iam.answer(self.path, self.headers["authorization"], body)
            text = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield iam, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def iam(iam_server: tuple[Iam, str]) -> Iam:
    iam = iam_server[0]
    iam.requests.clear()
    iam.most_at_once, iam.together = 0, threading.Barrier(1)
    return iam


@pytest.fixture
def objects(iam_server: tuple[Iam, str]) -> CloudStorageObjects:
    return CloudStorageObjects("project", IamSigning(Account, iam_server[1]))


def verify(iam: Iam, request: SignedRequest, **changed: str) -> None:
    """What Cloud Storage does with a V4 URL; `changed` headers are sent instead of the signed ones."""
    url = urlsplit(request.url)
    query = dict(parse_qsl(url.query, strict_parsing=True))
    signature = bytes.fromhex(query.pop("X-Goog-Signature"))
    sent = {name.lower(): value for name, value in request.headers.items()} | changed | {"host": url.netloc}
    names = query["X-Goog-SignedHeaders"].split(";")
    canonical_query = "&".join(f"{k}={quote(v, safe='~')}" for k, v in sorted(query.items()))
    headers = "".join(f"{name}:{sent[name]}\n" for name in names)
    canonical = "\n".join([request.method, url.path, canonical_query, headers, ";".join(names), "UNSIGNED-PAYLOAD"])
    scope = query["X-Goog-Credential"].split("/", 1)[1]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["GOOG4-RSA-SHA256", query["X-Goog-Date"], scope, digest])
    iam.key.public_key().verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())


def test_an_upload_url_says_what_must_be_sent(objects: CloudStorageObjects, iam: Iam) -> None:
    request = objects.sign("PUT", "uploads", "users/ann/p1", SOON, "image/jpeg", 1000)
    verify(iam, request)
    assert urlsplit(request.url)[:3] == ("https", "storage.googleapis.com", "/uploads/users/ann/p1")
    assert request.headers == {
        "content-type": "image/jpeg",
        "x-goog-content-length-range": "1,1000",
        "x-goog-if-generation-match": "0",
    }


def test_a_resumable_upload_is_started_by_a_post_that_binds_the_same(objects: CloudStorageObjects, iam: Iam) -> None:
    request = objects.sign("POST", "uploads", "users/ann/p1", SOON, "image/jpeg", 1000)
    verify(iam, request)
    assert (request.method, request.headers["x-goog-resumable"]) == ("POST", "start")
    with pytest.raises(InvalidSignature):
        verify(iam, request, **{"x-goog-content-length-range": "1,2000"})
    with pytest.raises(InvalidSignature):
        verify(iam, replace(request, method="PUT"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("content-type", "image/png"), ("x-goog-content-length-range", "1,2000"), ("x-goog-if-generation-match", "7")],
)
def test_an_upload_url_binds_type_size_and_creation(
    objects: CloudStorageObjects, iam: Iam, name: str, value: str
) -> None:
    request = objects.sign("PUT", "uploads", "users/ann/p1", SOON, "image/jpeg", 1000)
    with pytest.raises(InvalidSignature):
        verify(iam, request, **{name: value})


def test_the_account_signs_by_its_token_and_no_key(objects: CloudStorageObjects, iam: Iam) -> None:
    request = objects.sign("GET", "results", "predictions/p1/1/1/mask.png", SOON)
    verify(iam, request)
    assert request.headers == {}
    assert iam.requests == [(f"/v1/projects/-/serviceAccounts/{ACCOUNT}:signBlob", "Bearer token")]
    assert dict(parse_qsl(urlsplit(request.url).query))["X-Goog-Credential"].startswith(f"{ACCOUNT}/")


@pytest.mark.parametrize("name", ["a b/ö.jpg", "a//b", "?query=1", "#x", "../x", "%2e%2e"])
def test_odd_names_are_signed_as_they_are(objects: CloudStorageObjects, iam: Iam, name: str) -> None:
    verify(iam, objects.sign("PUT", "uploads", name, SOON, "image/jpeg", 1000))


def test_names_that_cannot_be_are_not_signed(objects: CloudStorageObjects) -> None:
    with pytest.raises(Malformed):
        objects.sign("PUT", "uploads", "..", SOON, "image/jpeg", 1000)


def test_a_passing_fault_of_iam_passes(objects: CloudStorageObjects, iam: Iam) -> None:
    iam.statuses = [503, 429]
    verify(iam, objects.sign("GET", "results", "a", SOON))
    assert len(iam.requests) == 3


def test_an_identity_that_may_not_sign_is_told_to_a_person(objects: CloudStorageObjects, iam: Iam) -> None:
    iam.statuses = [403]
    with pytest.raises(Misconfigured, match="may not"):
        objects.sign("GET", "results", "a", SOON)


def test_credentials_without_an_account_cannot_sign() -> None:
    objects = CloudStorageObjects("project", IamSigning(AnonymousCredentials))
    with pytest.raises(Misconfigured, match="service account"):
        objects.sign("GET", "results", "a", SOON)


# -- what the API's answers cost: each signature is a round trip


def test_a_url_to_read_is_signed_once_for_everybody_who_looks(objects: CloudStorageObjects, iam: Iam) -> None:
    first = objects.sign("GET", "results", "a", SOON)
    assert objects.sign("GET", "results", "a", SOON) == first
    assert len(iam.requests) == 1
    assert objects.sign("GET", "results", "a", SOON + timedelta(minutes=5)) != first
    assert objects.sign("GET", "results", "b", SOON) != first
    assert len(iam.requests) == 3


def test_a_failure_is_not_remembered(objects: CloudStorageObjects, iam: Iam) -> None:
    iam.statuses = [403]
    with pytest.raises(Misconfigured):
        objects.sign("GET", "results", "a", SOON)
    verify(iam, objects.sign("GET", "results", "a", SOON))


def test_a_url_to_upload_is_signed_each_time(objects: CloudStorageObjects, iam: Iam) -> None:
    for _ in range(2):
        objects.sign("PUT", "uploads", "a", SOON, "image/jpeg", 1000)
    assert len(iam.requests) == 2


def test_links_last_a_quarter_of_an_hour_and_stay_the_same_for_minutes() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    ends = [links_end(noon + timedelta(seconds=seconds)) - noon for seconds in (0, 1, 299, 300, 301)]
    assert ends == [timedelta(minutes=minutes) for minutes in (15, 20, 20, 20, 25)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Backend]:
    made = backend(tmp_path)
    yield made
    made.documents.close()
    made.objects.close()


def test_a_page_of_masks_is_signed_side_by_side_and_then_not_again(
    stack: Backend, objects: CloudStorageObjects, iam: Iam
) -> None:
    count = 2 * THREADS
    api = Api(replace(stack.runtime, objects=objects), Log("api", write=stack.logged.append))
    application = Starlette(routes=[Route("/{path:path}", api.__call__)])

    async def steps() -> None:
        async with caller(stack, "ann") as ann:
            for _ in range(count):
                stack.succeed((await announce(ann))["id"])
        async with caller(stack, "ann", application) as ann:
            iam.together = threading.Barrier(TOGETHER)  # it breaks unless so many come at once
            pages = [(await ann.get(f"/v1/predictions?pageSize={count}")).json()["predictions"] for _ in range(2)]
            [urls, again] = [[one["result"]["maskUrl"] for one in page] for page in pages]
            assert len(set(urls)) == count
            assert again == urls
            shown = (await ann.get(f"/v1/predictions/{pages[0][0]['id']}")).json()
            assert shown["result"]["maskUrl"] == urls[0]

    asyncio.run(steps())
    assert len(iam.requests) == count
    assert TOGETHER <= iam.most_at_once <= THREADS
