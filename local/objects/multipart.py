"""`multipart/related`, read from front to back: a small part that is JSON, then a part of any size that streams by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import Message

from shared.errors import Malformed

_HEADER_BYTES = 16 << 10
Chunks = AsyncIterator[bytes]


class Related:
    """Call in the order of the body: `header`, `small`, `header`, `rest`."""

    def __init__(self, content_type: str, chunks: Chunks) -> None:
        boundary = _message(content_type).get_boundary()
        if not boundary:
            raise Malformed("multipart uploads name their boundary in Content-Type")
        self._delimiter = b"\r\n--" + boundary.encode()
        self._chunks = chunks
        self._buffer = bytearray(b"\r\n")  # so that the first delimiter is like the others
        self._started = False

    async def header(self) -> str:
        """The next part's content type."""
        if not self._started:
            await self._until(self._delimiter, _HEADER_BYTES)
            self._started = True
        lines = (await self._until(b"\r\n\r\n", _HEADER_BYTES)).decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines)
        return next((value.strip() for name, _, value in fields if name.strip().lower() == "content-type"), "")

    async def small(self, most: int) -> bytes:
        return await self._until(self._delimiter, most)

    async def rest(self) -> Chunks:
        """The bytes up to the next delimiter, then whatever the sender added is read and forgotten."""
        while (at := self._buffer.find(self._delimiter)) < 0:
            sure = len(self._buffer) - len(self._delimiter) + 1  # behind it, a delimiter may have begun
            if sure > 0:
                yield bytes(self._buffer[:sure])
                del self._buffer[:sure]
            await self._more()
        yield bytes(self._buffer[:at])
        async for _ in self._chunks:
            pass

    async def _until(self, marker: bytes, most: int) -> bytes:
        """What stands before the marker; both are consumed."""
        while (at := self._buffer.find(marker)) < 0:
            if len(self._buffer) > most:
                raise Malformed("a part of the multipart body is too long")
            await self._more()
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(marker)]
        return found

    async def _more(self) -> None:
        chunk = await anext(self._chunks, b"")
        if not chunk:
            raise Malformed("the multipart body ends too early")
        self._buffer += chunk


def _message(content_type: str) -> Message:
    message = Message()
    message["content-type"] = content_type
    return message
