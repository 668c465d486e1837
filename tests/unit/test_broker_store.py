"""What the broker's file remembers: everything that was promised, across an abrupt end."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from local.broker.queue import Delivery, Message
from local.broker.store import Full, Row, Store
from shared.errors import Misconfigured

NAME = "broker.db"


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Store]:
    store = Store(folder / NAME)
    writer = asyncio.create_task(store.run())
    try:
        yield store
    finally:
        store.close()
        await writer


@asynccontextmanager
async def after_a_crash(folder: Path) -> AsyncIterator[Store]:
    """The store as it would be found if its process had died now: its files, copied as they are."""
    copy = folder / "crashed"
    copy.mkdir()
    for file in folder.glob(f"{NAME}*"):
        shutil.copy(file, copy)
    async with opened(copy) as store:
        yield store


def row(store: Store, subscription: str = "work", data: bytes = b"x", **attributes: str) -> Row:
    message = Message(str(store.number()), "segment", data, attributes, 5.0)
    return subscription, Delivery(store.number(), message, due=7.0)


async def page(store: Store, after: int = 0, limit: int = 100, limit_bytes: int = 1 << 20) -> list[Delivery]:
    loaded: asyncio.Future[list[Delivery]] = asyncio.get_running_loop().create_future()
    store.load("work", after, limit, limit_bytes, loaded.set_result)
    return await loaded


def test_what_was_inserted_is_there_after_a_crash(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as store:
            rows = [row(store, data=b"\0\xff", key="wert ü"), row(store), row(store, "other")]
            await store.insert(rows, lambda _: None)
            async with after_a_crash(tmp_path) as again:
                assert again.counts() == {"work": 2, "other": 1}
                assert await page(again) == [delivery for name, delivery in rows if name == "work"]

    run(test())


def test_callbacks_come_after_their_commit_in_the_order_of_the_calls(tmp_path: Path) -> None:
    async def test() -> None:
        heard: list[str] = []
        async with opened(tmp_path) as store:
            inserts = [
                store.insert([row(store, str(number))], lambda rows: heard.append(rows[0][0])) for number in range(50)
            ]
            await asyncio.gather(*inserts)
        assert heard == [str(number) for number in range(50)]

    run(test())


def test_acks_and_attempts_ride_along_and_a_clean_end_loses_none(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as store:
            rows = [row(store) for _ in range(3)]
            await store.insert(rows, lambda _: None)
            store.forget(rows[0][1].seq)
            rows[1][1].attempts, rows[1][1].due = 4, 99.0
            store.note(rows[1][1])
            async with after_a_crash(tmp_path) as again:
                assert again.counts() == {"work": 3}  # lazy: a crash means a redelivery
        async with opened(tmp_path) as store:
            left = await page(store)
            assert [(one.seq, one.attempts, one.due) for one in left] == [
                (rows[1][1].seq, 4, 99.0),
                (rows[2][1].seq, 0, 7.0),
            ]

    run(test())


def test_an_ack_reaches_the_disk_by_itself(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as store:
            made = row(store)
            await store.insert([made], lambda _: None)
            store.forget(made[1].seq)
            async with asyncio.timeout(60):
                while await page(store):
                    await asyncio.sleep(0.01)

    run(test())


def test_a_dead_letter_takes_the_place_of_its_delivery_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as store:
            old, buried = row(store), row(store, "dead")
            await store.insert([old], lambda _: None)
            done = asyncio.Event()
            store.replace(old[1].seq, [buried], lambda _: done.set())
            await done.wait()
            async with after_a_crash(tmp_path) as again:
                assert again.counts() == {"dead": 1}

    run(test())


def test_pages_are_bounded_by_count_and_by_bytes(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as store:
            rows = [row(store, data=b"12345678") for _ in range(5)]
            await store.insert(rows, lambda _: None)
            seqs = [delivery.seq for _, delivery in rows]
            assert [one.seq for one in await page(store, limit=2)] == seqs[:2]
            assert [one.seq for one in await page(store, after=seqs[1], limit_bytes=9)] == seqs[2:4]
            assert await page(store, after=seqs[-1]) == []

    run(test())


def test_numbers_never_come_twice(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as store:
            made = row(store)
            await store.insert([made], lambda _: None)
            store.forget(made[1].seq)
            used = {store.number() for _ in range(1000)} | {made[1].seq}
        async with opened(tmp_path) as store:
            assert store.number() > max(used)

    run(test())


def test_a_new_file_says_that_the_queue_was_lost_until_it_is_heard(tmp_path: Path) -> None:
    async def test() -> None:
        for _ in range(2):
            async with opened(tmp_path) as store:
                assert store.queue_lost
        async with opened(tmp_path) as store:
            store.settle_heard()
        async with opened(tmp_path) as store:
            assert not store.queue_lost

    run(test())


def test_a_message_that_does_not_fit_fails_alone(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as store:
            pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
            store.connection.execute(f"PRAGMA max_page_count = {pages + 4}")
            small, big = row(store), row(store, data=bytes(1 << 20))
            results = await asyncio.gather(
                store.insert([big], lambda _: None), store.insert([small], lambda _: None), return_exceptions=True
            )
            assert isinstance(results[0], Full)
            assert results[1] is None
            assert store.counts() == {"work": 1}

    run(test())


# -- files that cannot be used


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + bytes(4080)])
def test_a_file_that_is_no_database_is_refused_with_advice(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(Misconfigured, match="move it away"):
        Store(tmp_path / NAME)


def test_a_damaged_file_is_refused_with_advice(tmp_path: Path) -> None:
    async def fill() -> None:
        async with opened(tmp_path) as store:
            await store.insert([row(store, data=bytes(5000)) for _ in range(50)], lambda _: None)

    run(fill())
    data = bytearray((tmp_path / NAME).read_bytes())
    data[4096:16384] = b"\xff" * 12288
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(Misconfigured, match="damaged"):
        Store(tmp_path / NAME)


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    async def mark() -> None:
        async with opened(tmp_path) as store:
            store.connection.execute("PRAGMA user_version = 2")

    run(mark())
    with pytest.raises(Misconfigured, match="newer version"):
        Store(tmp_path / NAME)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Misconfigured, match="cannot be written"):
        Store(tmp_path / "file" / NAME)
