"""One Firestore database as its RPCs see it: full names, versions, call metadata, and documents read from protobuf."""

from __future__ import annotations

from typing import Any

from shared.adapters.google import values
from shared.errors import Conflict
from shared.paths import check_path
from shared.ports import Document

REWRITTEN = "_rewritten"  # a field of ours, never seen above: marks a document that was replaced by its equal
_NANOS = 1_000_000_000


class Database:
    """`host`: an emulator's; it is spoken to as the owner, whom its security rules do not bind."""

    def __init__(self, project: str, database: str, host: str) -> None:
        self.name = f"projects/{project}/databases/{database}"
        self.root = f"{self.name}/documents"
        self.host = host
        self.metadata = [("google-cloud-resource-prefix", self.name)]
        if host:
            self.metadata.append(("authorization", "Bearer owner"))

    def document(self, path: str) -> str:
        check_path(path, "document")
        return f"{self.root}/{path}"

    def collection(self, path: str) -> tuple[str, str]:
        """The parent's full name and the collection's id."""
        check_path(path, "collection")
        parent, _, collection_id = f"{self.root}/{path}".rpartition("/")
        return parent, collection_id

    def read(self, document: Any, read_time: Any) -> Document:
        """`document` and `read_time` are protobuf's google.firestore.v1.Document and Timestamp."""
        data = values.read(document.fields)
        data.pop(REWRITTEN, None)
        return Document(
            path=document.name.removeprefix(f"{self.root}/"),
            data=data,
            version=f"{nanoseconds(document.update_time)}:{nanoseconds(document.create_time)}",
            create_time=values.read_time(document.create_time),
            update_time=values.read_time(document.update_time),
            read_time=values.read_time(read_time),
        )


def split_version(version: str) -> tuple[int, int]:
    """When the document was updated and created, in nanoseconds since 1970. A version that is not ours is stale.

    The create time travels in the version because a write's answer does not tell it.
    """
    updated, _, created = version.partition(":")
    if not (updated.isascii() and updated.isdigit() and created.isascii() and created.isdigit()):
        raise Conflict("the document has changed since it was read")
    return int(updated), int(created)


def set_timestamp(timestamp: Any, nanoseconds: int) -> None:
    timestamp.seconds, timestamp.nanos = divmod(nanoseconds, _NANOS)


def nanoseconds(timestamp: Any) -> int:
    return int(timestamp.seconds * _NANOS + timestamp.nanos)
