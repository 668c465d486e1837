"""`model.json`: what a model is, what it was made from and how good it is. Parsed strictly, no torch needed."""

from __future__ import annotations

import hashlib
import json
import math
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared import strict
from shared.errors import Misconfigured

STARTER = Path(__file__).parent / "models" / "starter"  # the bundle that ships with this repository
MANIFEST, WEIGHTS = "model.json", "model.safetensors"
MAX_MANIFEST = 1 << 20  # bytes
MAX_WEIGHTS = 2 << 30  # bytes; they are held in memory twice while they are read
MAX_HEADER = 4 << 20  # bytes of the weights' table of contents; a thousand tensors take 0.1 MB
_COLOR = re.compile(r"#[0-9a-f]{6}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")  # also a folder's name
_SHA256 = re.compile(r"[0-9a-f]{64}")
_INPUT_SIZES = range(32, 2049)  # px
_STRIDES = (1, 2, 4)
_WIDEST = 1e6  # of a network's inner values


class BundleError(Misconfigured):
    """The bundle cannot be used; the message says why, for a person, without paths."""


@dataclass(frozen=True)
class ClassInfo:
    """One class of the mask: `id` is the mask's pixel value, `color` "#rrggbb" in lower case."""

    id: int
    name: str
    color: str

    @property
    def rgb(self) -> bytes:
        return bytes.fromhex(self.color.removeprefix("#"))


@dataclass(frozen=True)
class Manifest:
    """The content of `model.json`.

    `input_size`: px, square root of the area photos are resized to (`shapes.target_shape`).
    `output_stride`: logits are (N, len(classes), H / output_stride, W / output_stride).
    `normalization`: for readers only; the network normalises inside its forward.
    `spans`: bounds of the network's inner values, for CPUs (`architectures.int8`); may be empty.
    `sha256`: of `model.safetensors`, hex. `lineage`: data, licence attributions, command, commit.
    """

    name: str
    version: str
    architecture: str
    classes: tuple[ClassInfo, ...]
    input_size: int
    output_stride: int
    normalization: Mapping[str, Any]
    sha256: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    spans: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """`model.json` as an object."""
        return {
            "name": self.name,
            "version": self.version,
            "architecture": self.architecture,
            "classes": [{"id": c.id, "name": c.name, "color": c.color} for c in self.classes],
            "inputSize": self.input_size,
            "outputStride": self.output_stride,
            "normalization": dict(self.normalization),
            "sha256": self.sha256,
            "metrics": dict(self.metrics),
            "lineage": dict(self.lineage),
            "spans": {name: list(bounds) for name, bounds in self.spans.items()},
        }

    def to_json(self) -> str:
        """The text of `model.json`, stable order, with a final newline."""
        return json.dumps(self.to_document(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse(text: str) -> Manifest:
    """The manifest in `text`; BundleError names the first field that is missing or wrong."""
    document = _Document(_object(text))
    return Manifest(
        name=document.matching("name", _NAME),
        version=document.matching("version", _NAME),
        architecture=document.matching("architecture", _NAME),
        classes=_classes(document.of_type("classes", list)),
        input_size=document.one_of("inputSize", _INPUT_SIZES),
        output_stride=document.one_of("outputStride", _STRIDES),
        normalization=document.of_type("normalization", dict),
        sha256=document.matching("sha256", _SHA256),
        metrics=document.of_type("metrics", dict),
        lineage=document.of_type("lineage", dict),
        spans=_spans(document.of_type("spans", dict) if "spans" in document.fields else {}),
    )


def read_manifest(directory: Path) -> Manifest:
    """The manifest alone, checked in itself but not against the weights; BundleError if it is not valid."""
    try:
        text = read(directory / MANIFEST).decode()
    except UnicodeDecodeError:
        raise BundleError("model.json is not UTF-8 text") from None
    return parse(text)


def check_files(directory: Path) -> Manifest:
    """As much of `bundle.load` as needs no torch: both files, a valid manifest, the weights' sha256. BundleError."""
    manifest = read_manifest(directory)
    check_weights(manifest, read(directory / WEIGHTS))
    return manifest


def check_weights(manifest: Manifest, data: bytes) -> None:
    """The file is the one that was described, and its table of contents is short and names no tensor twice."""
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise BundleError("model.safetensors is not the file that model.json describes: its sha256 differs")
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(MAX_HEADER, len(data) - 8):
        raise BundleError("model.safetensors is not a safetensors file, or its header is too large")
    try:
        header = strict.loads(data[8 : 8 + size].decode(), _finite)
    except (ValueError, RecursionError):
        raise BundleError("model.safetensors has a header that is not valid JSON or names a tensor twice") from None
    if not isinstance(header, dict):
        raise BundleError("model.safetensors is not a safetensors file: its header is not a JSON object")


def read(path: Path) -> bytes:
    """A file of a bundle; BundleError names it without its folder."""
    most = MAX_WEIGHTS if path.name == WEIGHTS else MAX_MANIFEST
    try:
        about = path.stat()  # a pipe or a device would be read for ever
        if not stat.S_ISREG(about.st_mode):
            raise BundleError(f"{path.name} is not a file")
        if about.st_size > most:
            raise BundleError(f"{path.name} has more than {most >> 20} MiB")
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"the bundle has no {path.name}") from None
    except OSError as error:
        raise BundleError(f"{path.name} cannot be read: {error.strerror}") from None


def _object(text: str) -> dict[str, Any]:
    try:
        document = strict.loads(text, _finite)
    except (ValueError, RecursionError):
        raise BundleError("model.json is not valid JSON, or names a key twice") from None
    if not isinstance(document, dict):
        raise BundleError("model.json is not a JSON object")
    return document


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError("a number is too large")
    return number


@dataclass(frozen=True)
class _Document:
    """Typed reads of one JSON object."""

    fields: Mapping[str, Any]

    def of_type(self, key: str, kind: type) -> Any:
        value = self.fields.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BundleError(f"model.json: {key!r} is missing or has the wrong type")
        return value

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        value: str = self.of_type(key, str)
        if not pattern.fullmatch(value):
            raise BundleError(f"model.json: {key!r} does not have the agreed form")
        return value

    def one_of(self, key: str, allowed: range | tuple[int, ...]) -> int:
        value: int = self.of_type(key, int)
        if value not in allowed:
            raise BundleError(f"model.json: {key!r} is out of range")
        return value


def _spans(items: dict[str, Any]) -> dict[str, tuple[float, float]]:
    for bounds in items.values():
        numbers = isinstance(bounds, list) and [type(one) in (int, float) for one in bounds] == [True, True]
        if not numbers or not -_WIDEST <= bounds[0] <= bounds[1] <= _WIDEST:
            raise BundleError("model.json: 'spans' are pairs of numbers, the lower one first")
    return {name: (float(low), float(high)) for name, (low, high) in items.items()}


def _classes(items: list[Any]) -> tuple[ClassInfo, ...]:
    if not 2 <= len(items) <= 256:
        raise BundleError("model.json: 'classes' holds 2 to 256 classes, background first")
    classes = tuple(_class(item) for item in items)
    if [one.id for one in classes] != list(range(len(classes))):
        raise BundleError("model.json: 'classes' are numbered 0, 1, 2, … in order")
    if len({one.name for one in classes}) != len(classes):
        raise BundleError("model.json: two classes have the same name")
    return classes


def _class(item: Any) -> ClassInfo:
    if not isinstance(item, dict):
        raise BundleError("model.json: a class is an object with 'id', 'name' and 'color'")
    fields = _Document(item)
    name = fields.of_type("name", str)
    if not name.strip() or len(name) > 80 or not name.isprintable():
        raise BundleError("model.json: a class has no usable name")
    return ClassInfo(fields.one_of("id", range(256)), name, fields.matching("color", _COLOR))
