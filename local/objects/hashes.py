"""Checksums that a sender announces, and whether the bytes that arrived have them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.adapters.local.blobs import Blob
from shared.errors import Malformed


@dataclass(frozen=True, slots=True)
class Hashes:
    """Base64 as Cloud Storage writes them; empty: not announced."""

    crc32c: str = ""
    md5: str = ""

    def check(self, blob: Blob) -> None:
        if self.crc32c not in ("", blob.crc32c) or self.md5 not in ("", blob.md5):
            raise Malformed("the bytes that arrived do not match the checksum that was sent with them")

    def over(self, other: Hashes) -> Hashes:
        return Hashes(self.crc32c or other.crc32c, self.md5 or other.md5)


def hashes_of_headers(goog_hashes: Sequence[str], content_md5: str) -> Hashes:
    """`x-goog-hash: crc32c=…,md5=…`, once or several times, and `content-md5`."""
    pairs = [pair.strip().partition("=") for line in goog_hashes for pair in line.split(",")]
    known = {name: value for name, _, value in pairs}
    return Hashes(known.get("crc32c", ""), known.get("md5", content_md5))


def hashes_of_resource(resource: Mapping[str, Any]) -> Hashes:
    return Hashes(str(resource.get("crc32c") or ""), str(resource.get("md5Hash") or ""))
