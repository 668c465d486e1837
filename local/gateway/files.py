"""The page's own files and the sample photos."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope


class Files(StaticFiles):
    """Browsers ask each time and get 304: a page never runs with half of an older version."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def listed(folder: Path) -> list[dict[str, Any]]:
    """The sample photos that are there by now, by name; hidden files are drafts."""
    return [_described(file) for file in sorted(folder.glob("[!.]*")) if file.is_file()]


def _described(file: Path) -> dict[str, Any]:
    """With the digest by which the page knows a sample again that another program sent."""
    data = file.read_bytes()
    return {
        "name": file.name,
        "url": f"/samples/{file.name}",
        "sizeBytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
