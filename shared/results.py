"""The files of a result: the mask always, and beside it what the caller asked for (`outputs`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class File(NamedTuple):
    """The last segment of an object's name, and its content type."""

    name: str
    content_type: str


MASK = File("mask.png", "image/png")
OUTPUTS: Mapping[str, File] = {
    "rle": File("rle.json", "application/json"),
    "polygons": File("polygons.json", "application/json"),
    "preview": File("preview.jpg", "image/jpeg"),
}


def objects_of(result: Mapping[str, Any]) -> list[str]:
    """The names of the objects that a prediction's `result` stands on; none without a result."""
    return [result["object"], *result.get("outputs", {}).values()] if result else []
