"""Signed upload URLs: V4, signed by a stand-in for IAM's signBlob, verified as Cloud Storage would."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth.credentials import AnonymousCredentials
from google.oauth2.credentials import Credentials

from shared.adapters.google.objects import CloudStorageObjects
from shared.adapters.google.signing import IamSigning
from shared.errors import Malformed, Misconfigured
from shared.ports import SignedRequest

ACCOUNT = "api@project.iam.gserviceaccount.com"
SOON = datetime.now(UTC) + timedelta(minutes=15)


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

    def answer(self, path: str, authorization: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.requests.append((path, authorization))
        if self.statuses:
            code = self.statuses.pop(0)
            return code, {"error": {"code": code, "message": "Permission 'iam.serviceAccounts.signBlob' denied"}}
        signed = self.key.sign(base64.b64decode(body["payload"]), padding.PKCS1v15(), hashes.SHA256())
        return 200, {"keyId": "1a2b", "signedBlob": base64.b64encode(signed).decode()}


@pytest.fixture(scope="module")
def iam_server() -> Iterator[tuple[Iam, str]]:
    iam = Iam()

    class Handler(BaseHTTPRequestHandler):
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
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield iam, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def iam(iam_server: tuple[Iam, str]) -> Iam:
    iam_server[0].requests.clear()
    return iam_server[0]


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
