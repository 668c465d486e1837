"""Resumable uploads that are under way: a row that says what for, and a growing file of the same name. How far one got
is the size of its file, and an object whose blob has its name says that it ended: nothing else is noted, so a crash
leaves nothing that contradicts."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from local.objects.hashes import Hashes
from local.objects.upload import Upload, check_early, keep
from shared.adapters.local.blobs import checksums_of, storage_errors
from shared.adapters.local.entries import Description, Entry, Preconditions, checked_content_type, checked_metadata
from shared.adapters.local.objects import LocalObjects
from shared.errors import Busy, NotFound

_AGE = 86_400.0  # s until a session is over
_OVER = "the upload session does not exist (any more): start a new one"


class Sessions:
    """All methods but `held` block."""

    def __init__(self, objects: LocalObjects) -> None:
        self._objects = objects
        self._database = objects.catalog.database
        self._held: set[str] = set()

    def start(self, upload: Upload) -> str:
        """The new session's id."""
        check_early(self._objects, upload)
        checked_content_type(upload.about.content_type)
        checked_metadata(upload.about.metadata)
        key = secrets.token_hex(16)
        with storage_errors():
            self.part(key).touch(0o600)
        row = (key, time.time_ns() // 1000, json.dumps(asdict(upload)))
        with self._database.write() as connection:
            connection.execute("INSERT INTO sessions VALUES (?, ?, ?)", row)
        return key

    def find(self, key: str) -> Upload:
        with self._database.read() as connection:
            row = connection.execute("SELECT request FROM sessions WHERE id = ?", (key,)).fetchone()
        if row is None:
            raise NotFound(_OVER)
        return _upload(json.loads(row[0]))

    def part(self, key: str) -> Path:
        """Only for ids that `find` knows, or new ones: it becomes a path."""
        return self._objects.blobs.part_path(key)

    def size(self, key: str) -> int | None:
        """How many bytes are there; None: the upload has ended."""
        try:
            return self.part(key).stat().st_size
        except FileNotFoundError:
            return None

    def finish(self, key: str, upload: Upload) -> Entry:
        with self.part(key).open("rb") as file, storage_errors():
            size, checksums = checksums_of(file.fileno())
            upload.check_size(size)
            os.fsync(file.fileno())
        return keep(self._objects, self._objects.blobs.publish(self.part(key), size, checksums), upload)

    def outcome(self, key: str, upload: Upload) -> Entry:
        """What an upload that has ended became."""
        entry = self._objects.catalog.lookup(upload.about.bucket, upload.about.name)
        if entry is None or entry.blob != key:
            raise NotFound(_OVER)
        return entry

    def drop(self, key: str) -> None:
        with self._database.write() as connection:
            connection.execute("DELETE FROM sessions WHERE id = ?", (key,))
        self.part(key).unlink(missing_ok=True)

    def expire(self) -> None:
        """Forget the old ones; the sweep of orphans takes their files."""
        oldest = int((time.time() - _AGE) * 1e6)
        with self._database.write() as connection:
            connection.execute("DELETE FROM sessions WHERE create_time < ?", (oldest,))

    @contextmanager
    def held(self, key: str) -> Iterator[None]:
        """One request at a time may write to a session. Raises `Busy`."""
        if key in self._held:
            raise Busy("another request is writing to this upload session")
        self._held.add(key)
        try:
            yield
        finally:
            self._held.discard(key)


def _upload(data: dict[str, Any]) -> Upload:
    about, conditions, hashes = (data.pop(name) for name in ("about", "conditions", "hashes"))
    return Upload(Description(**about), Preconditions(**conditions), Hashes(**hashes), **data)
