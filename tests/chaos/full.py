"""`python -m tests.chaos.full DIR`: fill a small disk through the local adapters, then make room; one JSON line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects
from shared.errors import StorageFull

BYTES, BALLAST = 200_000, 1_000_000
MOST = 1000


def until_full(write: Callable[[int], Any]) -> int:
    """How many were acknowledged before the first `StorageFull`; a few more are tried then, and must all be refused
    with it or be kept."""
    kept, refusals = 0, 0
    for number in range(MOST):
        try:
            write(number)
            kept += refusals == 0
        except StorageFull:
            refusals += 1
            if refusals == 5:
                return kept
    raise AssertionError("the disk was never full")


def main(folder: Path) -> dict[str, Any]:
    documents, objects = LocalDocuments(folder / "documents.db"), LocalObjects(folder)
    documents.create("predictions/first", {"n": -1})
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(BALLAST))
    kept = until_full(lambda n: objects.put("uploads", f"photo-{n:04}", bytes([n % 256]) * BYTES, "image/png"))
    read = all(objects.get("uploads", f"photo-{n:04}") == bytes([n % 256]) * BYTES for n in range(kept))
    half = [path.name for path in (folder / "objects" / "tmp").iterdir()]
    written = until_full(lambda n: documents.create(f"predictions/{n:04}", {"text": "x" * 5000}))
    listed = len(documents.query("predictions", limit=MOST + 1)) - 1
    ballast.unlink()  # somebody makes room
    again = objects.put("uploads", "again", b"photo", "image/png")
    documents.create("predictions/again", {"n": 1})
    return {
        "objects": kept,
        "objectsRead": read,
        "halfStored": half,
        "documents": written,
        "documentsListed": listed,
        "resumed": objects.get("uploads", "again", again.generation) == b"photo",
        "free": os.statvfs(folder).f_bavail,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
