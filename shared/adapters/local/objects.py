"""`Objects` on files: bytes first (`blobs`), then the row that makes them an object (`catalog`). A crash in between
leaves bytes that nobody sees, and that the object server sweeps away. Small bytes go with their row, all at once."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from shared.adapters.local.blobs import (
    SMALL,
    Blob,
    BlobStore,
    crc32c_of,
    in_memory,
    is_small,
    read_range,
    storage_errors,
)
from shared.adapters.local.catalog import Catalog
from shared.adapters.local.entries import (
    ANY,
    Description,
    DroppedFile,
    Entry,
    Preconditions,
    checked_content_type,
)
from shared.adapters.local.signing import Grant, Signer
from shared.errors import Retryable
from shared.paths import check_name
from shared.ports import Method, ObjectInfo, SignedRequest

_RACES = 5  # a live object may be replaced between looking it up and opening it


class LocalObjects:
    """`root` is the data folder, `base_url` what signed URLs begin with. Safe for many threads and processes."""

    def __init__(
        self, root: Path, base_url: str = "", uploads_bucket: str = "uploads", results_bucket: str = "results"
    ) -> None:
        self.catalog = Catalog(root / "objects.db", (uploads_bucket, results_bucket), notify=uploads_bucket)
        self.blobs = BlobStore(root / "objects")
        self.signer = Signer(root / "run" / "objects.key")
        self.base_url = base_url.rstrip("/")

    def stat(self, bucket: str, name: str, generation: int | None = None) -> ObjectInfo:
        return self.catalog.find(bucket, name, generation).info

    def get(self, bucket: str, name: str, generation: int | None = None, span: tuple[int, int] | None = None) -> bytes:
        """`span` is cut to the object's size; beyond the end there is nothing."""
        if span is not None and not 0 <= span[0] <= span[1]:
            raise ValueError("a span is [start, stop), not negative")
        entry, data = self._bytes(bucket, name, generation, span)
        if span is None and crc32c_of(data) != entry.info.crc32c:
            raise Retryable("the object's bytes do not match their checksum")
        return data

    def _bytes(
        self, bucket: str, name: str, generation: int | None, span: tuple[int, int] | None
    ) -> tuple[Entry, bytes]:
        entry, held = self._found(bucket, name, generation)
        start, stop = span or (0, entry.info.size)
        if isinstance(held, bytes):
            return entry, held[start:stop]
        try:
            with storage_errors():
                return entry, read_range(held, start, stop)
        finally:
            os.close(held)

    def open(self, bucket: str, name: str, generation: int | None = None) -> tuple[Entry, int]:
        """The object and a file descriptor on its bytes, which stay readable even if it is deleted meanwhile."""
        entry, held = self._found(bucket, name, generation)
        with storage_errors():
            return entry, in_memory(held) if isinstance(held, bytes) else held

    def _found(self, bucket: str, name: str, generation: int | None) -> tuple[Entry, bytes | int]:
        """The object and its bytes, or a file descriptor on them."""
        for _ in range(_RACES):
            entry = self.catalog.find(bucket, name, generation)
            try:
                if is_small(entry.blob):
                    return entry, self.catalog.small(entry.blob)
                with storage_errors():
                    return entry, self.blobs.open(entry.blob)
            except FileNotFoundError:
                continue
        raise Retryable("the object's bytes are missing")

    def put(
        self,
        bucket: str,
        name: str,
        data: bytes,
        content_type: str,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        conditions = Preconditions(generation=if_generation_match)
        about = Description(bucket, name, content_type, metadata)
        if len(data) <= SMALL:
            return self.commit(Blob.of(data), about, conditions).info
        conditions.check(self.catalog.lookup(bucket, name))  # spares the writing where it is known to be in vain
        with self.blobs.writer() as writer:
            writer.write(data)
            blob = writer.finish()
        return self.commit(blob, about, conditions).info

    def commit(
        self, blob: Blob, about: Description, conditions: Preconditions = ANY, source: DroppedFile | None = None
    ) -> Entry:
        """Make durable bytes an object; if that is refused, they go."""
        try:
            entry, replaced = self.catalog.insert(blob, about, conditions, source)
        except BaseException:
            self.blobs.remove(blob.key)
            raise
        if replaced is not None:
            self.blobs.remove(replaced)
        return entry

    def delete(self, bucket: str, name: str, generation: int | None = None) -> None:
        self.remove(bucket, name, generation)

    def remove(
        self, bucket: str, name: str, generation: int | None = None, conditions: Preconditions = ANY
    ) -> Entry | None:
        """As `delete`, under preconditions. Returns what was there."""
        entry = self.catalog.delete(bucket, name, generation, conditions)
        if entry is not None:
            self.blobs.remove(entry.blob)
        return entry

    def list(self, bucket: str, prefix: str = "", after: str = "", limit: int = 1000) -> list[ObjectInfo]:
        return [entry.info for entry in self.catalog.list(bucket, prefix, after, limit)]

    def sign(
        self,
        method: Method,
        bucket: str,
        name: str,
        expires: datetime,
        content_type: str = "",
        max_bytes: int = 0,
    ) -> SignedRequest:
        check_name(name)
        kind = checked_content_type(content_type) if content_type else ""
        grant = Grant(method, bucket, name, math.ceil(expires.timestamp()), kind, max_bytes)
        return self.signer.sign(grant, self.base_url)

    def sweep_orphans(self) -> int:
        """Delete the bytes that a crash left without an object. For the object server, when it starts."""
        return self.blobs.sweep(self.catalog.blobs())

    def together(self) -> AbstractContextManager[object]:
        """As `LocalDocuments.together`."""
        return self.catalog.database.write()

    def close(self) -> None:
        self.catalog.database.close()
