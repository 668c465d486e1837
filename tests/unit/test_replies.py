"""Bodies that lie about their length, or that never end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request

from inference_container import replies
from inference_container.replies import body_of, refused
from shared.errors import MasklineError, Rejected
from shared.prediction import Reason


def read(length: str, chunks: Iterator[bytes], limit: int = 100) -> bytes:
    async def receive() -> dict[str, Any]:
        chunk = next(chunks, None)
        if chunk is None:
            await asyncio.Event().wait()  # more was promised, and nothing comes
        return {"type": "http.request", "body": chunk, "more_body": chunk != b""}

    headers = [(b"content-length", length.encode())] if length else []
    return asyncio.run(body_of(Request({"type": "http", "headers": headers}, receive), limit))


def code_of(error: MasklineError) -> int:
    return refused(error).status_code


def test_a_body_is_counted_whatever_its_length_says() -> None:
    assert read("4", iter([b"ab", b"cd", b""])) == b"abcd"
    for length in ("", "0", "4", "x"):
        with pytest.raises(Rejected) as caught:
            read(length, iter([b"x" * 60, b"x" * 60, b""]))
        assert (caught.value.reason, code_of(caught.value)) == (Reason.TOO_LARGE, 413)


def test_a_length_that_is_too_large_is_refused_before_anything_is_read() -> None:
    unread = iter([b"x"])
    with pytest.raises(Rejected):
        read("101", unread)
    assert next(unread) == b"x"


def test_a_body_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "_BODY_SECONDS", 0.05)
    with pytest.raises(replies.TooSlow) as caught:
        read("10", iter([b"a"]))
    assert code_of(caught.value) == 408
