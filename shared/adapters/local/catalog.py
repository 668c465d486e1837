"""Which objects exist: one row for each live generation, and what must happen in the same transaction as that row
(the notification to relay, the file that was imported). Rows point at blobs by key; small blobs lie here, too."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.adapters.local.blobs import Blob, is_small
from shared.adapters.local.clock import to_datetime
from shared.adapters.local.entries import (
    ANY,
    Description,
    DroppedFile,
    Entry,
    Notification,
    Preconditions,
    after_prefix,
    checked_content_type,
    checked_metadata,
    entry_of,
    finalized,
)
from shared.adapters.local.sqlite import Database
from shared.errors import AlreadyExists, NotFound
from shared.paths import check_name

_SCHEMA = (
    "CREATE TABLE buckets (name TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE objects (bucket TEXT, name TEXT, generation INTEGER NOT NULL, metageneration INTEGER NOT NULL,"
    " size INTEGER NOT NULL, content_type TEXT NOT NULL, crc32c TEXT NOT NULL, md5 TEXT NOT NULL,"
    " create_time INTEGER NOT NULL, update_time INTEGER NOT NULL, metadata TEXT NOT NULL, blob TEXT NOT NULL,"
    " PRIMARY KEY (bucket, name)) WITHOUT ROWID",
    "CREATE TABLE generations (last INTEGER NOT NULL)",
    "INSERT INTO generations VALUES (0)",
    "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, attributes TEXT NOT NULL, data TEXT NOT NULL)",
    "CREATE TABLE imports (bucket TEXT, path TEXT, mtime INTEGER NOT NULL, size INTEGER NOT NULL,"
    " PRIMARY KEY (bucket, path)) WITHOUT ROWID",
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, create_time INTEGER NOT NULL, request TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE small (key TEXT PRIMARY KEY, data BLOB NOT NULL)",
)


class Catalog:
    def __init__(self, path: Path, buckets: Sequence[str], notify: str) -> None:
        self.database = Database(path, _SCHEMA)
        self._given = tuple(buckets)
        self._known: set[str] = set()
        self._notify = notify

    def check_bucket(self, bucket: str) -> None:
        if bucket not in self._known and bucket not in self.buckets():
            raise NotFound("there is no such bucket")

    def buckets(self) -> list[str]:
        with self.database.read() as connection:
            found = {row[0] for row in connection.execute("SELECT name FROM buckets")}
        for bucket in self._given:
            if bucket not in found:
                self._add_bucket(bucket)
        self._known = found | set(self._given)
        return sorted(self._known)

    def create_bucket(self, bucket: str) -> None:
        if bucket in self.buckets() or not self._add_bucket(bucket):
            raise AlreadyExists("the bucket exists already")

    def _add_bucket(self, bucket: str) -> bool:
        with self.database.write() as connection:
            added = connection.execute("INSERT INTO buckets VALUES (?) ON CONFLICT DO NOTHING", (bucket,)).rowcount
        return added == 1

    def find(self, bucket: str, name: str, generation: int | None = None) -> Entry:
        """Raises `NotFound`, also for a generation that was replaced."""
        entry = self.lookup(bucket, name)
        if entry is None or generation not in (None, entry.info.generation):
            raise NotFound("there is no such object")
        return entry

    def lookup(self, bucket: str, name: str) -> Entry | None:
        check_name(name)
        self.check_bucket(bucket)
        with self.database.read() as connection:
            return _lookup(connection, bucket, name)

    def insert(
        self, blob: Blob, about: Description, conditions: Preconditions = ANY, source: DroppedFile | None = None
    ) -> tuple[Entry, str | None]:
        """Make the blob the live generation. Returns it, and the key of the blob that it replaced."""
        check_name(about.name)
        self.check_bucket(about.bucket)
        metadata = json.dumps(checked_metadata(about.metadata))
        kind = checked_content_type(about.content_type)
        with self.database.write() as connection:
            old = _lookup(connection, about.bucket, about.name)
            conditions.check(old)
            now, generation = _next_generation(connection)
            row: tuple[Any, ...] = (
                about.bucket,
                about.name,
                generation,
                1,
                blob.size,
                kind,
                blob.crc32c,
                blob.md5,
                now,
                now,
            )
            row += (metadata, blob.key)
            if blob.small is not None:
                connection.execute("INSERT INTO small VALUES (?, ?)", (blob.key, blob.small))
            if old is not None:
                _forget(connection, old)
            connection.execute(f"INSERT OR REPLACE INTO objects VALUES ({', '.join('?' * 12)})", row)  # noqa: S608
            entry = entry_of(row)
            if about.bucket == self._notify:
                message = finalized(entry)
                connection.execute("INSERT INTO outbox (attributes, data) VALUES (?, ?)", message)
            if source is not None:
                imported = (about.bucket, source.path, source.mtime, source.size)
                connection.execute("INSERT OR REPLACE INTO imports VALUES (?, ?, ?, ?)", imported)
        return entry, None if old is None else old.blob

    def patch(
        self,
        bucket: str,
        name: str,
        generation: int | None,
        conditions: Preconditions,
        content_type: str | None,
        metadata: Mapping[str, str | None] | None,
    ) -> Entry:
        """Change what is said about an object, not its bytes; a metadata value of None removes the key."""
        self.check_bucket(bucket)
        with self.database.write() as connection:
            old = _lookup(connection, bucket, name)
            if old is None or generation not in (None, old.info.generation):
                raise NotFound("there is no such object")
            conditions.check(old)
            merged = dict(old.info.metadata) | dict(metadata or {})
            kept = checked_metadata({key: value for key, value in merged.items() if value is not None})
            kind = checked_content_type(old.info.content_type if content_type is None else content_type)
            now = time.time_ns() // 1000
            connection.execute(
                "UPDATE objects SET content_type = ?, metadata = ?, metageneration = metageneration + 1,"
                " update_time = ? WHERE bucket = ? AND name = ?",
                (kind, json.dumps(kept), now, bucket, name),
            )
        info = replace(old.info, content_type=kind, metadata=kept)
        return Entry(info, old.metageneration + 1, to_datetime(now), old.blob)

    def delete(
        self, bucket: str, name: str, generation: int | None = None, conditions: Preconditions = ANY
    ) -> Entry | None:
        """Returns what was deleted, None if there was nothing."""
        check_name(name)
        self.check_bucket(bucket)
        with self.database.write() as connection:
            old = _lookup(connection, bucket, name)
            conditions.check(old)
            if old is None or generation not in (None, old.info.generation):
                return None
            connection.execute("DELETE FROM objects WHERE bucket = ? AND name = ?", (bucket, name))
            _forget(connection, old)
        return old

    def small(self, key: str) -> bytes:
        """Raises FileNotFoundError if the blob is gone, as opening a file does."""
        with self.database.read() as connection:
            row = connection.execute("SELECT data FROM small WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise FileNotFoundError
        return bytes(row[0])

    def blobs(self) -> set[str]:
        with self.database.read() as connection:
            return {row[0] for row in connection.execute("SELECT blob FROM objects UNION SELECT id FROM sessions")}

    def outbox(self, limit: int) -> list[Notification]:
        """The oldest notifications that nobody has taken."""
        with self.database.read() as connection:
            rows = connection.execute("SELECT * FROM outbox ORDER BY id LIMIT ?", (limit,)).fetchall()
        return [Notification(number, json.loads(attributes), data) for number, attributes, data in rows]

    def taken(self, up_to: int) -> None:
        """The broker has them all, up to this id."""
        with self.database.write() as connection:
            connection.execute("DELETE FROM outbox WHERE id <= ?", (up_to,))

    def imports(self, bucket: str) -> dict[str, tuple[int, int]]:
        """Dropped files that became objects: path → (mtime in ns, size)."""
        with self.database.read() as connection:
            rows = connection.execute("SELECT path, mtime, size FROM imports WHERE bucket = ?", (bucket,)).fetchall()
        return {path: (mtime, size) for path, mtime, size in rows}

    def list(self, bucket: str, prefix: str = "", after: str = "", limit: int = 1000, start: str = "") -> list[Entry]:
        """In name order (UTF-8): names with `prefix`, greater than `after`, not below `start`."""
        self.check_bucket(bucket)
        bounds, parameters = ["name > ?", "name >= ?"], [bucket, after, max(prefix, start)]
        if (end := after_prefix(prefix)) is not None:
            bounds.append("name < ?")
            parameters.append(end)
        statement = f"SELECT * FROM objects WHERE bucket = ? AND {' AND '.join(bounds)} ORDER BY name LIMIT ?"  # noqa: S608
        with self.database.read() as connection:
            rows = connection.execute(statement, [*parameters, limit]).fetchall()
        return [entry_of(row) for row in rows]


def _next_generation(connection: Any) -> tuple[int, int]:
    """Now in microseconds, and a generation greater than every one before, even if the clock went back."""
    now = time.time_ns() // 1000
    statement = "UPDATE generations SET last = max(last + 1, ?) RETURNING last"
    return now, int(connection.execute(statement, (now,)).fetchone()[0])


def _forget(connection: Any, old: Entry) -> None:
    if is_small(old.blob):
        connection.execute("DELETE FROM small WHERE key = ?", (old.blob,))


def _lookup(connection: Any, bucket: str, name: str) -> Entry | None:
    row = connection.execute("SELECT * FROM objects WHERE bucket = ? AND name = ?", (bucket, name)).fetchone()
    return None if row is None else entry_of(row)
