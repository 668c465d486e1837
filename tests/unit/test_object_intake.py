"""The object server's pure parts: bodies, ranges, checksums."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from local.objects import intake
from local.objects.errors import Stalled
from local.objects.hashes import Hashes, hashes_of_headers
from local.objects.intake import pour
from local.objects.ranges import Piece, Unsatisfiable, piece_of, span_of
from shared.adapters.local.blobs import CHUNK
from shared.api.errors import TooLarge
from shared.errors import Malformed


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


def test_small_chunks_are_written_together_and_large_ones_are_not_kept() -> None:
    written: list[bytes] = []
    size = asyncio.run(pour(chunks(*[b"x" * 1000] * 600), written.append))
    assert size == len(b"".join(written)) == 600_000
    assert all(CHUNK <= len(one) < CHUNK + 1000 for one in written[:-1])


def test_a_body_beyond_the_limit_is_not_read_to_its_end() -> None:
    written: list[bytes] = []
    with pytest.raises(TooLarge):
        asyncio.run(pour(chunks(b"x" * 100, b"x"), written.append, most=100))
    assert written == []


def test_a_sender_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_SILENCE", 0.01)

    async def silent() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    with pytest.raises(Stalled):
        asyncio.run(pour(silent(), lambda _: None))


@pytest.mark.parametrize(
    ("header", "size", "span"),
    [
        ("", 10, None),
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=2-", 10, (2, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-30", 10, (0, 10)),
        ("bytes=4-100", 10, (4, 10)),
        ("bytes=5-4", 10, None),
        ("bytes=-", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("bytes=" + "9" * 20 + "-", 10, None),
    ],
)
def test_spans(header: str, size: int, span: tuple[int, int] | None) -> None:
    assert span_of(header, size) == span


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)])
def test_spans_behind_the_end(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        span_of(header, size)


@pytest.mark.parametrize(
    ("header", "piece"),
    [
        ("", Piece(0, None, None)),
        ("bytes 0-9/*", Piece(0, 10, None)),
        ("bytes 5-9/10", Piece(5, 10, 10)),
        ("bytes */10", Piece(None, None, 10)),
        ("bytes */*", Piece(None, None, None)),
    ],
)
def test_pieces(header: str, piece: Piece) -> None:
    assert piece_of(header) == piece


def test_an_upload_ends_at_its_total_or_with_a_body_that_has_no_range() -> None:
    assert Piece(0, None, None).ends_at(7, body=True)
    assert Piece(5, 10, 10).ends_at(10, body=True)
    assert Piece(None, None, 10).ends_at(10, body=False)
    assert not Piece(5, 10, 10).ends_at(7, body=True)
    assert not Piece(0, 10, None).ends_at(10, body=True)
    assert not Piece(None, None, None).ends_at(10, body=False)


def test_pieces_that_contradict_themselves() -> None:
    for header in ("bytes 3-2/10", "bytes 0-10/10", "bytes 0-1", "0-1/2"):
        with pytest.raises(Malformed):
            piece_of(header)


def test_checksums_of_headers() -> None:
    assert hashes_of_headers(["crc32c=AAAAAA==, md5=bQ=="], "") == Hashes("AAAAAA==", "bQ==")
    assert hashes_of_headers(["crc32c=AAAAAA==", "md5=bQ=="], "Zg==") == Hashes("AAAAAA==", "bQ==")
    assert hashes_of_headers([], "Zg==") == Hashes("", "Zg==")
