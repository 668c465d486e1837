"""The broker's truth on disk: one row per delivery that nobody has acknowledged. Group commit; knows no delivery rules.

Statements run on the event loop (microseconds each, one connection, nobody in between); only COMMIT, which waits for
the disk, runs in a thread. Whatever arrives during a commit shares the next one. Callbacks run in the order of the
calls, right after their commit. Acks and attempts are lazy: they ride along with the next commit, at most
`LAZY_SECONDS` later; a crash in between only means a redelivery.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.broker.queue import Delivery, Message
from shared.errors import Misconfigured, Retryable

LAZY_SECONDS = 0.05
RETRY_SECONDS = 1.0  # after a failed lazy write
MOST_CHANGES = 500  # per commit, so that the loop stays responsive
_SCHEMA = """
CREATE TABLE pending (
    seq INTEGER PRIMARY KEY,  -- grows, unique among all subscriptions
    subscription TEXT NOT NULL,
    message_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    data BLOB NOT NULL,
    attributes TEXT NOT NULL,  -- JSON
    publish_time REAL NOT NULL,
    attempts INTEGER NOT NULL,
    due REAL NOT NULL
);
CREATE INDEX pending_by_subscription ON pending (subscription, seq);
CREATE TABLE facts (name TEXT PRIMARY KEY);  -- one is "since " and when the broker was started last
INSERT INTO facts VALUES ('queue_lost');  -- until a tick that says so was delivered
PRAGMA user_version = 1;
"""

_SINCE = "since "
Row = tuple[str, Delivery]  # subscription, delivery


class Full(Retryable):
    """The disk has no room for another message."""


@dataclass(frozen=True, slots=True)
class _Change:
    apply: Callable[[sqlite3.Connection], Any]
    then: Callable[[Any], None]
    failed: Callable[[Exception], None]


class Store:
    def __init__(self, path: Path) -> None:
        """Raises `Misconfigured` if the file is damaged, not ours or in use."""
        self.connection = _open(path)
        # The database was created anew, and settle has not heard of it yet.
        self.queue_lost = bool(self.connection.execute("SELECT 1 FROM facts WHERE name = 'queue_lost'").fetchone())
        self.since = time.time()
        _note_start(self.connection, self.since)
        newest: int | None = self.connection.execute("SELECT max(seq) FROM pending").fetchone()[0]
        # Never a number twice, though acknowledged rows are gone: microseconds run ahead of any publish rate.
        self._number = max(newest or 0, time.time_ns() // 1000)
        self._changes: list[_Change] = []
        self._acked: list[int] = []
        self._tried: dict[int, tuple[int, float]] = {}
        self._wake = asyncio.Event()
        self._lazy: asyncio.TimerHandle | None = None
        self._closing = False
        self._disk = ThreadPoolExecutor(1, "commit")

    def number(self) -> int:
        self._number += 1
        return self._number

    def counts(self) -> dict[str, int]:
        return dict(self.connection.execute("SELECT subscription, count(*) FROM pending GROUP BY subscription"))

    async def insert(self, rows: list[Row], then: Callable[[list[Row]], None]) -> None:
        """Durable when it returns. Raises `Full` or `Retryable`; nothing was written then."""
        await self._committed(lambda connection: _insert(connection, rows), lambda _: then(rows))

    def replace(self, seq: int, rows: list[Row], then: Callable[[list[Row]], None]) -> None:
        """Take one delivery out and put others in, in one transaction; tried until it works."""

        def apply(connection: sqlite3.Connection) -> None:
            _insert(connection, rows)
            connection.execute("DELETE FROM pending WHERE seq = ?", (seq,))

        self._submit(_Change(apply, lambda _: then(rows), lambda _: self._later(self.replace, seq, rows, then)))

    def load(
        self, subscription: str, after: int, limit: int, limit_bytes: int, then: Callable[[list[Delivery]], None]
    ) -> None:
        """The oldest deliveries after `after`: at most `limit`, about `limit_bytes` of data; tried until it works."""

        def apply(connection: sqlite3.Connection) -> list[Delivery]:
            return _page(connection, subscription, after, limit, limit_bytes)

        again = (subscription, after, limit, limit_bytes, then)
        self._submit(_Change(apply, then, lambda _: self._later(self.load, *again)))

    async def waiting(self, after: int, limit: int) -> list[dict[str, Any]]:
        """As `page_of_all`. Raises `Retryable`."""
        rows: list[dict[str, Any]] = await self._committed(
            lambda file: page_of_all(file, after, limit), lambda rows: rows
        )
        return rows

    async def _committed(self, apply: Callable[[sqlite3.Connection], Any], then: Callable[[Any], Any]) -> Any:
        """What `then` makes of the result of `apply`, once that is durable; `then` is called even if nobody waits."""
        future = asyncio.get_running_loop().create_future()

        def committed(result: Any) -> None:
            made = then(result)
            if not future.done():  # whoever asked may have gone
                future.set_result(made)

        def failed(error: Exception) -> None:
            if not future.done():
                future.set_exception(error)

        self._submit(_Change(apply, committed, failed))
        return await future

    def forget(self, seq: int) -> None:
        self._acked.append(seq)
        self._tried.pop(seq, None)
        self._soon()

    def note(self, delivery: Delivery) -> None:
        """Remember attempts and due time across a restart."""
        self._tried[delivery.seq] = (delivery.attempts, delivery.due)
        self._soon()

    def settle_heard(self) -> None:
        """The loss of the queue is known: do not tell again."""
        self.queue_lost = False

        def apply(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM facts WHERE name = 'queue_lost'")

        self._submit(_Change(apply, lambda _: None, lambda _: self._later(self.settle_heard)))

    async def run(self) -> None:
        """The writer; ends after `close` when everything is written or has failed."""
        while not (self._closing and not self._changes and not self._acked and not self._tried):
            await self._wake.wait()
            changes, self._changes = self._changes[:MOST_CHANGES], self._changes[MOST_CHANGES:]
            if not self._changes and not self._closing:
                self._wake.clear()
            await self._commit([*changes, *self._lazy_changes()])
        self.connection.close()
        self._disk.shutdown()

    def close(self) -> None:
        self._closing = True
        self._wake.set()

    def _submit(self, change: _Change) -> None:
        self._changes.append(change)
        self._wake.set()

    def _later(self, call: Callable[..., None], *args: Any) -> None:
        if not self._closing:
            asyncio.get_running_loop().call_later(RETRY_SECONDS, call, *args)

    def _soon(self, seconds: float = LAZY_SECONDS) -> None:
        if self._lazy is None:
            self._lazy = asyncio.get_running_loop().call_later(seconds, self._wake.set)

    def _lazy_changes(self) -> list[_Change]:
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        acked, self._acked = self._acked, []
        tried, self._tried = self._tried, {}
        if not acked and not tried:
            return []

        def apply(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM pending WHERE seq IN (SELECT value FROM json_each(?))", (json.dumps(acked),)
            )
            rows = [(attempts, due, seq) for seq, (attempts, due) in tried.items()]
            connection.executemany("UPDATE pending SET attempts = ?, due = ? WHERE seq = ?", rows)

        def failed(_: Exception) -> None:
            if not self._closing:
                self._acked += acked
                self._tried = tried | self._tried
                self._soon(RETRY_SECONDS)

        return [_Change(apply, lambda _: None, failed)]

    async def _commit(self, changes: list[_Change]) -> None:
        if not changes:
            return
        try:
            results = [change.apply(self.connection) for change in changes]
            if self.connection.in_transaction:
                await asyncio.get_running_loop().run_in_executor(self._disk, self.connection.commit)
        except sqlite3.Error as error:
            self.connection.rollback()
            if len(changes) > 1:  # one may be too big for what is left of the disk: the others need not fail with it
                for change in changes:
                    await self._commit([change])
            else:
                changes[0].failed(_reason(error))
            return
        for change, result in zip(changes, results, strict=True):
            change.then(result)


def _reason(error: sqlite3.Error) -> Retryable:
    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
        return Full("the disk is full: the message was not accepted")
    return Retryable("the queue cannot be written now")


def _insert(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    connection.executemany(
        "INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (d.seq, name, d.message.id, d.message.topic, d.message.data, json.dumps(d.message.attributes),
             d.message.publish_time, d.attempts, d.due)
            for name, d in rows
        ),
    )  # fmt: skip


def _page(
    connection: sqlite3.Connection, subscription: str, after: int, limit: int, limit_bytes: int
) -> list[Delivery]:
    cursor = connection.execute(
        "SELECT seq, message_id, topic, data, attributes, publish_time, attempts, due FROM pending"
        " WHERE subscription = ? AND seq > ? ORDER BY seq LIMIT ?",
        (subscription, after, limit),
    )
    deliveries: list[Delivery] = []
    for seq, message_id, topic, data, attributes, publish_time, attempts, due in cursor:
        message = Message(message_id, topic, data, json.loads(attributes), publish_time)
        deliveries.append(Delivery(seq, message, attempts, due))
        limit_bytes -= len(data)
        if limit_bytes <= 0:
            break
    return deliveries


def page_of_all(connection: sqlite3.Connection, after: int, limit: int) -> list[dict[str, Any]]:
    """What waits after `after` on any subscription, without the data. In the order of `seq`, nothing escapes whoever
    goes from page to page: what replaces a message comes after it."""
    cursor = connection.execute(
        "SELECT seq, subscription, message_id, attributes, publish_time FROM pending"
        " WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    )
    return [
        {"seq": seq, "subscription": name, "id": number, "attributes": json.loads(text), "publishTime": published}
        for seq, name, number, text, published in cursor
    ]


def started_at(connection: sqlite3.Connection) -> float | None:
    """Seconds since the epoch; None: an older release wrote this file."""
    row = connection.execute("SELECT max(name) FROM facts WHERE name LIKE ?", (_SINCE + "%",)).fetchone()
    return float(row[0].removeprefix(_SINCE)) if row[0] else None


def _note_start(connection: sqlite3.Connection, now: float) -> None:
    """For whoever reads the file when no broker runs. A full disk is no reason not to start."""
    try:
        with connection:
            connection.execute("DELETE FROM facts WHERE name LIKE ?", (_SINCE + "%",))
            connection.execute("INSERT INTO facts VALUES (?)", (f"{_SINCE}{now:.3f}",))
    except sqlite3.Error:
        pass  # undone


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Commits run in a thread, and only there; EXCLUSIVE keeps a second broker out.
        connection = sqlite3.connect(path, timeout=5, check_same_thread=False)
        connection.executescript("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("quick_check")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        elif version != 1:
            raise Misconfigured(f"{path.name} was written by a newer version of Maskline")
        return connection
    except OSError:
        raise Misconfigured(f"the folder for {path.name} cannot be written") from None
    except sqlite3.OperationalError as error:
        raise Misconfigured(f"{path.name} cannot be opened: {error}") from None
    except sqlite3.DatabaseError:
        raise Misconfigured(
            f"{path.name} is damaged: move it away and start again; every unfinished photo is then queued again"
        ) from None
