"""What a caller may ask for beside the mask (`shared.results.OUTPUTS`), made from the same class map.

The classes in all of them are those that the mask's `classes` list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from inference_container.cells import Cells, ClassMap
from inference_container.decode import Photo
from inference_container.manifest import ClassInfo
from inference_container.polygons import polygons
from inference_container.preview import preview
from inference_container.rle import rle


@dataclass(frozen=True, slots=True)
class Found:
    """What the network said of a photo, at model size and laid out over it."""

    photo: Photo
    map: ClassMap
    cells: Cells
    classes: Sequence[ClassInfo]


def make(names: Iterable[str], found: Found) -> dict[str, bytes]:
    """The files' contents by output name."""
    return {name: _MAKERS[name](found) for name in names}


def _rle(found: Found) -> bytes:
    return _json(found, "rle", lambda class_id: rle(found.cells, class_id))


def _polygons(found: Found) -> bytes:
    photo = found.photo
    return _json(found, "polygons", lambda class_id: polygons(found.map, class_id, photo.width, photo.height))


def _preview(found: Found) -> bytes:
    return preview(found.photo, found.map, found.classes)


_MAKERS: dict[str, Callable[[Found], bytes]] = {"rle": _rle, "polygons": _polygons, "preview": _preview}


def _json(found: Found, name: str, shape_of: Callable[[int], Any]) -> bytes:
    present = set(found.cells.ids.ravel().tolist())
    rows = [{"id": one.id, "name": one.name, name: shape_of(one.id)} for one in found.classes if one.id in present]
    document = {"width": found.photo.width, "height": found.photo.height, "classes": rows}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
