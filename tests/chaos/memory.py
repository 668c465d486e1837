"""Documents and objects in memory, by a clock of the caller's: quick enough for thousands of schedules a minute.

`test_memory.py` compares them with the local adapters.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Any, Literal

from shared.adapters.local.blobs import crc32c_of
from shared.errors import AlreadyExists, Conflict, NotFound
from shared.ports import Data, Document, ObjectInfo, SignedRequest, Where

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
    "in": lambda a, b: a in b,
}


@dataclass
class MemoryDocuments:
    """`written` hears of every write: the document before (None: created) and after (None: deleted)."""

    now: Callable[[], datetime]
    written: Callable[[Document | None, Document | None], None] = lambda before, after: None
    rows: dict[str, Document] = field(default_factory=dict)
    _versions: count[int] = field(default_factory=lambda: count(1))

    def get(self, path: str) -> Document | None:
        found = self.rows.get(path)
        return found and self._read(found)

    def create(self, path: str, data: Data) -> Document:
        if path in self.rows:
            raise AlreadyExists("the document exists already")
        now = self.now()
        return self._write(Document(path, dict(data), str(next(self._versions)), now, now, now))

    def replace(self, path: str, data: Data, version: str) -> Document:
        found, now = self._at(path, version), self.now()
        changed = replace(found, data=dict(data), version=str(next(self._versions)), update_time=now, read_time=now)
        return self._write(changed)

    def delete(self, path: str, version: str | None = None) -> None:
        if version is not None:
            self._at(path, version)
        if (gone := self.rows.pop(path, None)) is not None:
            self.written(gone, None)

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[tuple[str, Literal["asc", "desc"]]] = (),
        limit: int = 100,
        after: Sequence[Any] | None = None,
    ) -> list[Document]:
        """At most one order."""
        field_, direction = order_by[0] if order_by else ("", "asc")
        rows = [
            ((_value(row.data, field_), row.path) if field_ else (row.path,), row)
            for path, row in self.rows.items()
            if path.rpartition("/")[0] == collection and all(_holds(row.data, *one) for one in where)
        ]
        rows = [(key, row) for key, row in rows if key[0] is not None]
        rows.sort(key=lambda one: one[0], reverse=direction == "desc")
        if after is not None:
            cursor = (*after[:-1], f"{collection}/{after[-1]}")
            rows = [(key, row) for key, row in rows if (key < cursor if direction == "desc" else key > cursor)]
        return [self._read(row) for _, row in rows[:limit]]

    def watch(self, path: str) -> AsyncIterator[Document | None]:
        raise NotImplementedError("nobody watches in a simulation")

    def _at(self, path: str, version: str) -> Document:
        found = self.rows.get(path)
        if found is None or found.version != version:
            raise Conflict("the document has changed since it was read")
        return found

    def _write(self, document: Document) -> Document:
        before = self.rows.get(document.path)
        self.rows[document.path] = document
        self.written(before, document)
        return self._read(document)

    def _read(self, document: Document) -> Document:
        return replace(document, data=dict(document.data), read_time=self.now())


def _value(data: Mapping[str, Any], path: str) -> Any:
    found: Any = data
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _holds(data: Mapping[str, Any], path: str, operator: str, wanted: Any) -> bool:
    found = _value(data, path)
    comparable = operator in ("==", "in") or (found is not None and wanted is not None)
    return comparable and _COMPARE[operator](found, wanted)


@dataclass
class MemoryObjects:
    """`notify` is told of every generation that is written to the bucket `uploads`."""

    now: Callable[[], datetime]
    notify: Callable[[ObjectInfo], None] = lambda info: None
    rows: dict[tuple[str, str], tuple[ObjectInfo, bytes]] = field(default_factory=dict)
    _generations: count[int] = field(default_factory=lambda: count(1000))

    def stat(self, bucket: str, name: str, generation: int | None = None) -> ObjectInfo:
        return self._find(bucket, name, generation)[0]

    def get(self, bucket: str, name: str, generation: int | None = None, span: tuple[int, int] | None = None) -> bytes:
        data = self._find(bucket, name, generation)[1]
        return data if span is None else data[slice(*span)]

    def put(
        self,
        bucket: str,
        name: str,
        data: bytes,
        content_type: str,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        live = self.rows.get((bucket, name))
        if if_generation_match is not None and if_generation_match != (live[0].generation if live else 0):
            raise AlreadyExists("the object exists already") if not if_generation_match else Conflict("it has changed")
        md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
        info = ObjectInfo(
            bucket, name, next(self._generations), len(data), content_type, crc32c_of(data), md5, self.now()
        )
        self.rows[bucket, name] = info, data
        if bucket == "uploads":
            self.notify(info)
        return info

    def delete(self, bucket: str, name: str, generation: int | None = None) -> None:
        live = self.rows.get((bucket, name))
        if live is not None and generation in (None, live[0].generation):
            del self.rows[bucket, name]

    def list(self, bucket: str, prefix: str = "", after: str = "", limit: int = 1000) -> list[ObjectInfo]:
        names = sorted(
            name for holder, name in self.rows if holder == bucket and name > after and name.startswith(prefix)
        )
        return [self.rows[bucket, name][0] for name in names[:limit]]

    def sign(
        self,
        method: Literal["GET", "PUT", "POST"],
        bucket: str,
        name: str,
        expires: datetime,
        content_type: str = "",
        max_bytes: int = 0,
    ) -> SignedRequest:
        raise NotImplementedError("nobody signs in a simulation")

    def _find(self, bucket: str, name: str, generation: int | None) -> tuple[ObjectInfo, bytes]:
        live = self.rows.get((bucket, name))
        if live is None or generation not in (None, live[0].generation):
            raise NotFound("there is no such object")
        return live
