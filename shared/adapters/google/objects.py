"""`Objects` on Cloud Storage: one request a call, guarded by generations, whole bodies checked by crc32c both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from shared.adapters.google.errors import TIMEOUT, retried
from shared.adapters.google.lazily import Lazily
from shared.adapters.google.libraries import load
from shared.errors import AlreadyExists, Conflict, Malformed, NotFound
from shared.paths import check_name
from shared.ports import Method, ObjectInfo, SignedRequest

SERVICE = "Cloud Storage"
_CONNECTIONS = 64  # kept open; requests' own 10 are fewer than the threads of an inference instance
_ONE = {"retry": None, "timeout": TIMEOUT}  # how every request is made: `retried` repeats it

Sign = Callable[[Method, str, str, datetime, str, int], SignedRequest]


class CloudStorageObjects:
    """`sign` makes signed URLs; `url` is the local object server's, empty Google's own. Safe for threads."""

    def __init__(self, project: str, sign: Sign, url: str = "") -> None:
        self._project = project
        self._sign = sign
        self._url = url
        self._client = Lazily(self._make_client)

    def stat(self, bucket: str, name: str, generation: int | None = None) -> ObjectInfo:
        check_name(name)

        def reload() -> ObjectInfo:
            blob = self._blob(bucket, name, generation)
            blob.reload(**_ONE)
            return _info(blob)

        return retried(SERVICE, reload)

    def get(self, bucket: str, name: str, generation: int | None = None, span: tuple[int, int] | None = None) -> bytes:
        """`span` is cut to the object's size; beyond the end there is nothing."""
        if span is not None and not 0 <= span[0] <= span[1]:
            raise ValueError("a span is [start, stop), not negative")
        if span is not None and span[0] == span[1]:
            self.stat(bucket, name, generation)
            return b""
        check_name(name)
        try:
            return retried(SERVICE, lambda: self._download(bucket, name, generation, span))
        except _BeyondTheEnd:
            return b""

    def put(
        self,
        bucket: str,
        name: str,
        data: bytes,
        content_type: str,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        check_name(name)

        def upload() -> ObjectInfo:
            blob = self._blob(bucket, name)
            blob.metadata = dict(metadata) if metadata else None
            blob.upload_from_string(data, content_type, if_generation_match=if_generation_match, **_ONE)
            return _info(blob)

        try:
            return retried(SERVICE, upload)
        except Conflict:
            if if_generation_match == 0:
                raise AlreadyExists("the object exists already") from None
            raise

    def delete(self, bucket: str, name: str, generation: int | None = None) -> None:
        check_name(name)
        try:
            retried(SERVICE, lambda: self._blob(bucket, name, generation).delete(**_ONE))
        except NotFound:
            pass

    def list(self, bucket: str, prefix: str = "", after: str = "", limit: int = 1000) -> list[ObjectInfo]:
        """One more is asked for, because Cloud Storage begins at `after` itself."""

        def pages() -> list[ObjectInfo]:
            blobs = self._client().list_blobs(
                bucket, prefix=prefix or None, start_offset=after or None, max_results=limit + 1, **_ONE
            )
            return [_info(blob) for blob in blobs]

        return [info for info in retried(SERVICE, pages) if info.name > after][:limit]

    def sign(
        self,
        method: Method,
        bucket: str,
        name: str,
        expires: datetime,
        content_type: str = "",
        max_bytes: int = 0,
    ) -> SignedRequest:
        check_name(name)
        return self._sign(method, bucket, name, expires, content_type, max_bytes)

    def close(self) -> None:
        """Close the connections; the next call opens others."""
        self._client.drop(lambda client: client.close())

    def _download(self, bucket: str, name: str, generation: int | None, span: tuple[int, int] | None) -> bytes:
        """The bytes as they are stored: an object that somebody uploaded gzipped is not unpacked on the way."""
        start, end = (span[0], span[1] - 1) if span else (None, None)  # theirs includes the last byte
        blob = self._blob(bucket, name, generation)
        try:
            data: bytes = blob.download_as_bytes(start=start, end=end, raw_download=True, checksum="crc32c", **_ONE)
        except load("google.api_core.exceptions").RequestRangeNotSatisfiable:
            raise _BeyondTheEnd("the object ends before the span") from None
        return data

    def _blob(self, bucket: str, name: str, generation: int | None = None) -> Any:
        return self._client().bucket(bucket).blob(name, generation=generation)

    def _make_client(self) -> Any:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client
        from requests.adapters import HTTPAdapter

        if self._url:
            options = {"api_endpoint": self._url}
            client = Client(self._project, AnonymousCredentials(), client_options=options)
        else:
            client = Client(self._project)
        client._bucket_metadata_cache = None  # or a thread reads every bucket's metadata, which our roles do not allow
        for scheme in ("https://", "http://"):
            client._http.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
        return client


class _BeyondTheEnd(Malformed):
    """The span begins where the object has ended."""


def _info(blob: Any) -> ObjectInfo:
    return ObjectInfo(
        bucket=blob.bucket.name,
        name=blob.name,
        generation=int(blob.generation),
        size=int(blob.size),
        content_type=blob.content_type or "",
        crc32c=blob.crc32c or "",
        md5=blob.md5_hash or "",  # composite objects have none
        create_time=blob.time_created,
        metadata=dict(blob.metadata or {}),
    )
