"""`Documents` on SQLite: one file that every process of the machine opens. Knows nothing of predictions but which
fields they are looked up by (`query.INDEXED`)."""

from __future__ import annotations

import re
import secrets
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from shared.adapters.local import query, values
from shared.adapters.local.clock import Clock, to_datetime
from shared.adapters.local.sqlite import Database
from shared.adapters.local.watch import Watches
from shared.errors import AlreadyExists, Conflict, Malformed, Misconfigured
from shared.ports import Data, Document, Where

_SCHEMA = (
    "CREATE TABLE documents (path TEXT PRIMARY KEY, collection TEXT NOT NULL, version INTEGER NOT NULL,"
    " create_time INTEGER NOT NULL, update_time INTEGER NOT NULL, data TEXT NOT NULL)",
    "CREATE INDEX documents_by_collection ON documents (collection, path)",
    *query.indexes(),
)
_MAX_PATH_BYTES = 6 << 10
_MAX_ID_BYTES = 1500
_RESERVED = re.compile(r"\.{1,2}|__.*__", re.DOTALL)


class LocalDocuments:
    """Safe for many threads and processes. `path` is the database file; it is created when first used."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)
        self._clock: Clock | None = None
        self._clock_path = path.with_suffix(".clock")
        self._clock_lock = threading.Lock()
        self._watches = Watches(self._database, self._document)

    def get(self, path: str) -> Document | None:
        check_path(path, "document")
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM documents WHERE path = ?", (path,)).fetchone()
        return None if row is None else self._document(row)

    def create(self, path: str, data: Data) -> Document:
        check_path(path, "document")
        version, now = _new_version(), self._now()
        row = (path, path.rpartition("/")[0], version, now, now, values.encode(data))
        with self._database.write() as connection:
            insert = "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
            if connection.execute(insert, row).rowcount == 0:
                raise AlreadyExists("the document exists already")
        return self._written(path, data, version, now, now)

    def replace(self, path: str, data: Data, version: str) -> Document:
        check_path(path, "document")
        text, newer = values.encode(data), _new_version()
        update = (
            "UPDATE documents SET version = ?, update_time = ?, data = ? WHERE path = ? AND version = ?"
            " RETURNING create_time, update_time"
        )
        with self._database.write() as connection:
            row = connection.execute(update, (newer, self._now(), text, path, _stored(version))).fetchone()
            if row is None:
                raise Conflict("the document has changed since it was read")
        return self._written(path, data, newer, *row)

    def delete(self, path: str, version: str | None = None) -> None:
        check_path(path, "document")
        with self._database.write() as connection:
            if version is None:
                connection.execute("DELETE FROM documents WHERE path = ?", (path,))
                return
            found = connection.execute(
                "DELETE FROM documents WHERE path = ? AND version = ?", (path, _stored(version))
            ).rowcount
            if not found:
                raise Conflict("the document has changed since it was read")

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[tuple[str, Literal["asc", "desc"]]] = (),
        limit: int = 100,
        after: Sequence[Any] | None = None,
    ) -> list[Document]:
        check_path(collection, "collection")
        statement, parameters = query.select(collection, where, order_by, limit, after)
        with self._database.read() as connection:
            rows = connection.execute(statement, parameters).fetchall()
        return [self._document(row) for row in rows]

    def watch(self, path: str) -> AsyncIterator[Document | None]:
        check_path(path, "document")
        return self._watches.watch(path)

    def together(self) -> AbstractContextManager[object]:
        """What this thread writes inside the block is on disk when the block ends, by one commit, and not before; it
        reads it at once. A call that raises has written nothing; if the block raises, none has."""
        return self._database.write()

    def close(self) -> None:
        self._database.close()
        with self._clock_lock:
            clock, self._clock = self._clock, None
            if clock is not None:
                clock.close()

    def _written(self, path: str, data: Data, version: int, created: int, updated: int) -> Document:
        """As `_document`, without reading back what was just written."""
        times = [to_datetime(moment) for moment in (created, updated, self._now())]
        return Document(path, dict(data), str(version), *times)

    def _document(self, row: sqlite3.Row | tuple[Any, ...]) -> Document:
        path, _, version, created, updated, text = row
        return Document(
            path=path,
            data=values.decode(text),
            version=str(version),
            create_time=to_datetime(created),
            update_time=to_datetime(updated),
            read_time=to_datetime(self._now()),
        )

    def _now(self) -> int:
        clock = self._clock
        return clock.now() if clock is not None else self._start_clock().now()

    def _start_clock(self) -> Clock:
        with self._clock_lock:
            if self._clock is None:
                try:
                    self._clock_path.parent.mkdir(parents=True, exist_ok=True)
                    self._clock = Clock(self._clock_path)
                except (OSError, ValueError):
                    raise Misconfigured("the data folder cannot be written: check its path and permissions") from None
            return self._clock


def check_path(path: str, kind: Literal["document", "collection"]) -> None:
    """Collections and ids alternate: a document's path has an even number of segments. Firestore's rules for ids."""
    segments = path.split("/")
    if len(segments) % 2 != (kind == "collection"):
        raise Malformed(f"not the path of a {kind}: collections and ids alternate")
    try:
        sizes = [len(segment.encode()) for segment in segments]
    except UnicodeEncodeError:
        raise Malformed("the path is not Unicode") from None
    if min(sizes) == 0 or max(sizes) > _MAX_ID_BYTES or sum(sizes) > _MAX_PATH_BYTES:
        raise Malformed(f"the path of a {kind} has segments of 1 to {_MAX_ID_BYTES} bytes, {_MAX_PATH_BYTES} in all")
    if any(_RESERVED.fullmatch(segment) for segment in segments):
        raise Malformed("the path holds a reserved name")


def _new_version() -> int:
    return secrets.randbits(63)


def _stored(version: str) -> int:
    """A version as the table holds it; one that is not ours matches nothing."""
    return int(version) if version.isascii() and version.isdigit() and len(version) < 20 else -1
