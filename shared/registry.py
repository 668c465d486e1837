"""Which models there are, and which one an arm serves: documents `models/{name}` and `serving/{arm}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import AlreadyExists, Conflict
from shared.ports import Data, Documents
from shared.prediction import STABLE

_SHOWN = ("version", "architecture", "classes", "inputSize", "outputStride", "sha256", "metrics", "lineage")


@dataclass(frozen=True, slots=True)
class Serving:
    """The model of an arm."""

    name: str
    version: str


def register(documents: Documents, manifest: Mapping[str, Any], arm: str = STABLE) -> None:
    """Make the bundle whose `model.json` holds `manifest` known, and the one that `arm` serves."""
    _write(documents, f"models/{manifest['name']}", {name: manifest[name] for name in _SHOWN if name in manifest})
    _write(documents, f"serving/{arm}", {"name": manifest["name"], "version": manifest["version"]})


def serving(documents: Documents, arm: str) -> Serving | None:
    document = documents.get(f"serving/{arm}")
    return Serving(document.data["name"], document.data["version"]) if document else None


def _write(documents: Documents, path: str, data: Data) -> None:
    """Whoever writes last wins, and says so by an error if somebody wrote in between."""
    document = documents.get(path)
    if document is None:
        try:
            documents.create(path, data)
        except AlreadyExists:
            raise Conflict("the model is being registered by somebody else, too") from None
    elif document.data != data:
        documents.replace(path, data, document.version)
