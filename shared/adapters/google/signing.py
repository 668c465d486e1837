"""Signed URLs without a key file: V4, with IAM's signBlob as the hand that signs.

One call to IAM for each URL, but for those to read: these are remembered while they are good. The identity needs
`roles/iam.serviceAccountTokenCreator` on itself.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from shared.adapters.google.errors import TIMEOUT, retried
from shared.adapters.google.lazily import Lazily
from shared.errors import Misconfigured
from shared.ports import Method, SignedRequest, bound_headers

SERVICE = "IAM Service Account Credentials"
_IAM = "https://iamcredentials.googleapis.com"
_REMEMBERED = 4096  # URLs
_CONNECTIONS = 16  # kept open to IAM; an API signs from that many threads
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def own_credentials() -> Any:
    """The process's own; the metadata server tells an instance's account only with its first token."""
    import google.auth
    from google.auth.transport.requests import Request

    credentials, _ = google.auth.default(scopes=[_SCOPE])
    if getattr(credentials, "service_account_email", "") == "default":
        credentials.refresh(Request())
    return credentials


class IamSigning:
    """Makes what `CloudStorageObjects` calls `sign`. Safe for threads."""

    def __init__(self, credentials: Callable[[], Any] = own_credentials, url: str = _IAM) -> None:
        self._credentials = credentials
        self._url = url
        self._signer = Lazily(self._make_signer)
        self._to_read = lru_cache(_REMEMBERED)(partial(self._sign, "GET"))

    def __call__(
        self, method: Method, bucket: str, name: str, expires: datetime, content_type: str, max_bytes: int
    ) -> SignedRequest:
        """Whoever asks for the same object and the same end again gets the same URL to read it."""
        if method == "GET":
            return self._to_read(bucket, name, expires)
        return self._sign(method, bucket, name, expires, content_type, max_bytes)

    def _sign(
        self, method: Method, bucket: str, name: str, expires: datetime, content_type: str = "", max_bytes: int = 0
    ) -> SignedRequest:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        headers = bound_headers(method, content_type, max_bytes)
        blob = Client("-", AnonymousCredentials()).bucket(bucket).blob(name)
        url = blob.generate_signed_url(
            version="v4", method=method, expiration=expires, headers=dict(headers), credentials=self._signed_by()
        )
        return SignedRequest(method, url, headers)

    def _signed_by(self) -> Any:
        """The library's shape for whoever signs: credentials with an account and a signer."""
        from google.oauth2.service_account import Credentials

        signer = retried(SERVICE, self._signer)
        return Credentials(signer, signer.account, token_uri="")

    def _make_signer(self) -> _Signer:
        from google.auth.transport.requests import AuthorizedSession
        from requests.adapters import HTTPAdapter

        credentials = self._credentials()
        account = getattr(credentials, "service_account_email", "")
        if not account:
            raise Misconfigured(
                "only a service account can sign upload URLs: run as one, or"
                " `gcloud auth application-default login --impersonate-service-account=ACCOUNT`"
            )
        session = AuthorizedSession(credentials)
        session.mount(self._url, HTTPAdapter(pool_maxsize=_CONNECTIONS))
        return _Signer(session, self._url, account)


@dataclass(frozen=True, slots=True)
class _Signer:
    """What google-auth calls a signer: `sign` and a `key_id`, which signBlob chooses."""

    session: Any
    url: str
    account: str
    key_id: None = None

    def sign(self, message: bytes) -> bytes:
        return retried(SERVICE, lambda: self._sign_blob(message))

    def _sign_blob(self, message: bytes) -> bytes:
        from google.api_core.exceptions import from_http_response

        url = f"{self.url}/v1/projects/-/serviceAccounts/{self.account}:signBlob"
        answer = self.session.post(url, json={"payload": base64.b64encode(message).decode()}, timeout=TIMEOUT)
        if answer.status_code != 200:
            raise from_http_response(answer)
        return base64.b64decode(answer.json()["signedBlob"])
