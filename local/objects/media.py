"""An object's bytes as an HTTP answer: whole or one range of them, in bounded memory."""

from __future__ import annotations

import os

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.objects.ranges import Unsatisfiable, span_of
from local.objects.service import Service
from shared.adapters.local.blobs import CHUNK
from shared.adapters.local.entries import ANY, Entry, Preconditions
from shared.api.threads import in_thread
from shared.errors import Retryable


class BlobResponse(Response):
    """Bytes [start, stop) of a file descriptor, which it closes."""

    def __init__(self, fd: int, span: tuple[int, int], status: int, headers: dict[str, str]) -> None:
        super().__init__(status_code=status, headers=headers)
        self._fd = fd
        self._span = span

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            start, stop = self._span
            while start < stop:
                data = await in_thread(os.pread, self._fd, min(CHUNK, stop - start), start)
                if not data:
                    raise Retryable("the object's bytes are shorter than recorded")
                await send({"type": "http.response.body", "body": data, "more_body": True})
                start += len(data)
            await send({"type": "http.response.body", "body": b""})
        finally:
            os.close(self._fd)


async def download(
    service: Service,
    bucket: str,
    name: str,
    headers: Headers,
    generation: int | None = None,
    conditions: Preconditions = ANY,
) -> Response:
    entry, fd = await in_thread(service.objects.open, bucket, name, generation)
    try:
        if conditions.not_generation == entry.info.generation:
            return BlobResponse(fd, (0, 0), 304, headers_of(entry))
        conditions.check(entry)
        return _answer(entry, fd, headers)
    except BaseException:
        os.close(fd)
        raise


def headers_of(entry: Entry) -> dict[str, str]:
    """What is said of an object beside its bytes."""
    info = entry.info
    return {
        "etag": f'"{info.generation}-{entry.metageneration}"',
        "cache-control": "private, max-age=0",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "x-goog-generation": str(info.generation),
        "x-goog-metageneration": str(entry.metageneration),
        "x-goog-hash": f"crc32c={info.crc32c},md5={info.md5}",
        "x-goog-stored-content-length": str(info.size),
        "x-goog-stored-content-encoding": "identity",
    }


def _answer(entry: Entry, fd: int, asked: Headers) -> BlobResponse:
    size, headers = entry.info.size, headers_of(entry)
    if headers["etag"] in [tag.strip() for tag in asked.get("if-none-match", "").split(",")]:
        return BlobResponse(fd, (0, 0), 304, headers)
    # Nothing in a photo may run on the page's origin, whatever type somebody gave it.
    headers |= {"content-type": entry.info.content_type, "content-security-policy": "default-src 'none'; sandbox"}
    headers["accept-ranges"] = "bytes"
    same = asked.get("if-range", headers["etag"]) == headers["etag"]
    try:
        span = span_of(asked.get("range", ""), size) if same else None
    except Unsatisfiable:
        return BlobResponse(fd, (0, 0), 416, headers | {"content-range": f"bytes */{size}", "content-length": "0"})
    start, stop = span or (0, size)
    headers["content-length"] = str(stop - start)
    if span is None:
        return BlobResponse(fd, (0, size), 200, headers)
    return BlobResponse(fd, span, 206, headers | {"content-range": f"bytes {start}-{stop - 1}/{size}"})
