"""Resumable uploads: sent in pieces, asked how far they got, carried on after a broken connection or a crash."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.objects.hashes import Hashes, hashes_of_headers
from local.objects.intake import Chunks, opened, pour
from local.objects.media import headers_of
from local.objects.metrics import Way
from local.objects.ranges import Piece, piece_of
from local.objects.service import Service
from local.objects.upload import Upload
from shared.adapters.local.blobs import storage_errors, write_all
from shared.adapters.local.entries import Entry, object_resource
from shared.api.threads import in_thread
from shared.errors import Malformed


async def start(service: Service, upload: Upload, request: Request) -> Response:
    key = await in_thread(service.sessions.start, upload)
    url = request.url.include_query_params(uploadType="resumable", upload_id=key)
    return Response(headers={"location": str(url), "x-guploader-uploadid": key})


async def carry_on(service: Service, key: str, request: Request, way: Way) -> Response:
    """A piece, or the question how far the upload got: 308 with the range that is there, 200 when it is an object."""
    piece = piece_of(request.headers.get("content-range", ""))
    with service.sessions.held(key):
        upload = await in_thread(service.sessions.find, key)
        size = await in_thread(service.sessions.size, key)
        if size is None:
            return _ended(await in_thread(service.sessions.outcome, key, upload), way)
        if piece.total is not None:
            upload.check_size(piece.total)
        body = piece.start is not None and piece.start <= size
        if body:
            size = await _append(service, key, piece, size, _bounded(upload, piece, request.stream()))
        if not piece.ends_at(size, body):
            return _so_far(size)
        sent = hashes_of_headers(request.headers.getlist("x-goog-hash"), "")
        entry = await in_thread(service.sessions.finish, key, _with(upload, sent))
        service.stored(way, entry)
        return _ended(entry, way)


async def cancel(service: Service, key: str) -> Response:
    with service.sessions.held(key):
        await in_thread(service.sessions.find, key)
        await in_thread(service.sessions.drop, key)
    return Response(status_code=499)  # what Cloud Storage says


async def _append(service: Service, key: str, piece: Piece, size: int, body: Chunks) -> int:
    """Write what is new of the piece; the size then, on disk. A connection that breaks leaves what came."""
    assert piece.start is not None
    part = await in_thread(service.sessions.part, key)
    wanted = body if piece.stop is None else _at_most(piece.stop - piece.start, body)
    async with opened(lambda: part.open("ab", buffering=0)) as file:
        await pour(_without(size - piece.start, wanted), partial(write_all, file.fileno()))
        await in_thread(_sync, file.fileno())
        return os.fstat(file.fileno()).st_size


async def _bounded(upload: Upload, piece: Piece, chunks: Chunks) -> Chunks:
    """Ends with `TooLarge` where the upload would outgrow what it may have."""
    size = piece.start or 0
    async for chunk in chunks:
        size += len(chunk)
        upload.check_most(size)
        yield chunk


async def _at_most(count: int, chunks: Chunks) -> Chunks:
    async for chunk in chunks:
        count -= len(chunk)
        if count < 0:
            raise Malformed("the body is longer than Content-Range says")
        yield chunk


async def _without(count: int, chunks: Chunks) -> Chunks:
    """All but the first `count` bytes."""
    async for chunk in chunks:
        yield chunk[count:]
        count = max(0, count - len(chunk))


def _sync(fd: int) -> None:
    with storage_errors():
        os.fsync(fd)


def _with(upload: Upload, sent: Hashes) -> Upload:
    return replace(upload, hashes=sent.over(upload.hashes))


def _so_far(size: int) -> Response:
    return Response(status_code=308, headers={"range": f"bytes=0-{size - 1}"} if size else {})


def _ended(entry: Entry, way: Way) -> Response:
    """As an upload in one piece is answered on that way."""
    return Response(headers=headers_of(entry)) if way == "signed" else JSONResponse(object_resource(entry))
