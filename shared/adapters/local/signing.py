"""Signed URLs: who holds one may do exactly what it says until it expires. Knows no objects, only their names.

    {base}/storage/upload/{bucket}/{name}?expires=…&type=…&max=…&signature=…      PUT, POST
    {base}/storage/download/{bucket}/{name}?expires=…&signature=…                 GET

The signature is HMAC-SHA256 with a key that is made once per data folder and never leaves it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from shared.adapters.local.blobs import storage_errors, sync_folder
from shared.errors import Denied, Misconfigured
from shared.ports import Method, SignedRequest, bound_headers

_ROUTES = {"PUT": "upload", "POST": "upload", "GET": "download"}
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Grant:
    """What one URL allows. `expires` is in seconds since 1970; empty `content_type` and 0 bytes mean: not bound."""

    method: Method
    bucket: str
    name: str
    expires: int
    content_type: str = ""
    max_bytes: int = 0

    def headers(self) -> dict[str, str]:
        return bound_headers(self.method, self.content_type, self.max_bytes)


class Signer:
    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file
        self._key = b""

    def sign(self, grant: Grant, base_url: str) -> SignedRequest:
        query = {"expires": str(grant.expires)}
        if grant.content_type:
            query["type"] = grant.content_type
        if grant.max_bytes:
            query["max"] = str(grant.max_bytes)
        query["signature"] = self._signature(grant)
        path = path_of(grant.method, grant.bucket, grant.name)
        return SignedRequest(grant.method, f"{base_url}{path}?{urlencode(query)}", grant.headers())

    def verify(
        self, method: Method, bucket: str, name: str, query: Mapping[str, str], now: float | None = None
    ) -> Grant:
        """Raises `Denied` unless this very grant was signed and is not over."""
        expires, most = _digits(query.get("expires", "")), _digits(query.get("max", "0"))
        grant = Grant(method, bucket, name, expires, query.get("type", ""), most)
        if not hmac.compare_digest(query.get("signature", "").encode(), self._signature(grant).encode()):
            raise Denied("the signature of the URL is not valid")
        if (time.time() if now is None else now) >= expires:
            raise Denied("the URL has expired")
        return grant

    def _signature(self, grant: Grant) -> str:
        """Names and types hold no line break, so the lines cannot be shifted against each other."""
        fields = (grant.method, grant.bucket, grant.name, grant.expires, grant.content_type, grant.max_bytes)
        text = "\n".join(["maskline-1", *map(str, fields)])
        return hmac.new(self._secret(), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _secret(self) -> bytes:
        if not self._key:
            with storage_errors():
                self._key = _read_or_create(self._key_file)
            if len(self._key) != _KEY_BYTES:
                raise Misconfigured("the key for signed URLs is damaged: delete it to get a new one")
        return self._key


def path_of(method: Method, bucket: str, name: str) -> str:
    """The name is one segment: no slash, no dot segment that a proxy on the way could resolve."""
    return f"/storage/{_ROUTES[method]}/{quote(bucket, safe='')}/{quote(name, safe='')}"


def _read_or_create(path: Path) -> bytes:
    """Of many processes that find no key, one makes it; the link appears whole or not at all."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, secrets.token_bytes(_KEY_BYTES))
        os.fsync(fd)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.close(fd)
        draft.unlink()
    sync_folder(path.parent)
    return path.read_bytes()


def _digits(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
