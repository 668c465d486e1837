"""How a body becomes an object: in bounded memory, and whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TypeVar

from local.objects.errors import Stalled
from local.objects.metrics import Way
from local.objects.service import Service
from local.objects.upload import Upload, check_early, keep
from shared.adapters.local.blobs import CHUNK
from shared.adapters.local.entries import Entry
from shared.api.errors import TooLarge
from shared.api.threads import in_thread

_SILENCE = 30.0  # s between two chunks; below the age at which a part without an object counts as an orphan
Chunks = AsyncIterator[bytes]
T = TypeVar("T")


async def take(service: Service, upload: Upload, chunks: Chunks, way: Way) -> Entry:
    await in_thread(check_early, service.objects, upload)
    async with opened(service.objects.blobs.writer) as writer:
        upload.check_size(await pour(chunks, writer.write, upload.most))
        entry = await in_thread(lambda: keep(service.objects, writer.finish(), upload))
    service.stored(way, entry)
    return entry


async def pour(chunks: Chunks, write: Callable[[bytes], None], most: int = 0) -> int:
    """Every chunk into `write`, which blocks. Returns how many bytes; raises `TooLarge` beyond `most`, `Stalled`."""
    size, buffer = 0, bytearray()
    async for chunk in _patiently(chunks):
        size += len(chunk)
        if most and size > most:
            raise TooLarge(f"at most {most} bytes may be uploaded here")
        buffer += chunk
        if len(buffer) >= CHUNK:
            await in_thread(write, bytes(buffer))
            buffer.clear()
    if buffer:
        await in_thread(write, bytes(buffer))
    return size


async def _patiently(chunks: Chunks) -> Chunks:
    while True:
        try:
            async with asyncio.timeout(_SILENCE):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise Stalled("the upload stopped in the middle") from None
        if chunk is None:
            return
        yield chunk


@asynccontextmanager
async def opened(make: Callable[[], AbstractContextManager[T]]) -> AsyncIterator[T]:
    """A writer that is opened and closed in threads. A cancelled one, because the server stops, stays open: its last
    write may still be under way in a thread. The next sweep takes what it leaves."""
    manager = await in_thread(make)
    writer = await in_thread(manager.__enter__)
    try:
        yield writer
    except Exception as error:
        await in_thread(manager.__exit__, type(error), error, error.__traceback__)
        raise
    await in_thread(manager.__exit__, None, None, None)
