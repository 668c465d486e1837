"""What is known of an object, and the rules for it: Cloud Storage's, as far as they matter here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.adapters.local.clock import to_datetime
from shared.errors import AlreadyExists, Conflict, Malformed
from shared.events import FINALIZED
from shared.ports import ObjectInfo

_MAX_METADATA_BYTES = 8 << 10
_CHANGED = "the object has changed"


@dataclass(frozen=True, slots=True)
class Entry:
    """A live object: what the port shows of it, and what only the object server needs."""

    info: ObjectInfo
    metageneration: int
    update_time: datetime
    blob: str


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must hold for the live object; generation 0 means that there is none."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None

    def check(self, entry: Entry | None) -> None:
        """Raises `Conflict`; `AlreadyExists` if there should be no object."""
        live = entry.info.generation if entry else 0
        if self.generation is not None and self.generation != live:
            raise AlreadyExists("the object exists already") if self.generation == 0 else Conflict(_CHANGED)
        if self.not_generation is not None and self.not_generation == live:
            raise Conflict(_CHANGED)
        if self.metageneration is not None and self.metageneration != (entry.metageneration if entry else 0):
            raise Conflict(_CHANGED)


ANY = Preconditions()


@dataclass(frozen=True, slots=True)
class Description:
    """What a writer says about an object."""

    bucket: str
    name: str
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class DroppedFile:
    """A file of the drop folder in one state of it: imported once, whatever happens."""

    path: str
    mtime: int  # ns
    size: int


@dataclass(frozen=True, slots=True)
class Notification:
    id: int
    attributes: Mapping[str, str]
    data: str


def after_prefix(prefix: str) -> str | None:
    """The least text greater than all that begin with `prefix`; None: there is no end."""
    text = prefix.rstrip("\U0010ffff")
    if not text:
        return None
    following = ord(text[-1]) + 1
    return text[:-1] + chr(0xE000 if following == 0xD800 else following)


def object_resource(entry: Entry) -> dict[str, Any]:
    """The object as the Cloud Storage JSON API shows it."""
    info = entry.info
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{info.bucket}/{info.name}/{info.generation}",
        "name": info.name,
        "bucket": info.bucket,
        "generation": str(info.generation),
        "metageneration": str(entry.metageneration),
        "contentType": info.content_type,
        "storageClass": "STANDARD",
        "size": str(info.size),
        "md5Hash": info.md5,
        "crc32c": info.crc32c,
        "etag": f"{info.generation}-{entry.metageneration}",
        "timeCreated": _rfc3339(info.create_time),
        "updated": _rfc3339(entry.update_time),
    }
    return resource | ({"metadata": dict(info.metadata)} if info.metadata else {})


def finalized(entry: Entry) -> tuple[str, str]:
    info = entry.info
    attributes = {
        "bucketId": info.bucket,
        "objectId": info.name,
        "objectGeneration": str(info.generation),
        "eventType": FINALIZED,
        "payloadFormat": "JSON_API_V1",
        "eventTime": _rfc3339(info.create_time),
    }
    return json.dumps(attributes), json.dumps(object_resource(entry))


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def entry_of(row: tuple[Any, ...]) -> Entry:
    bucket, name, generation, metageneration, size, kind, crc32c, md5, created, updated, metadata, blob = row
    known = json.loads(metadata)
    info = ObjectInfo(bucket, name, generation, size, kind, crc32c, md5, to_datetime(created), known)
    return Entry(info, metageneration, to_datetime(updated), blob)


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    known = dict(metadata or {})
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in known.items()):
        raise Malformed("metadata is text under text keys")
    if sum(len(k) + len(v) for k, v in known.items()) > _MAX_METADATA_BYTES:
        raise Malformed("metadata has at most 8 KiB")
    return known


def checked_content_type(content_type: str) -> str:
    if len(content_type) > 255 or not content_type.isascii() or not content_type.isprintable():
        raise Malformed("a content type is printable ASCII of at most 255 characters")
    return content_type or "application/octet-stream"
