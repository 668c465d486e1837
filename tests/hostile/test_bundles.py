"""Model bundles from strangers: weights that are something else, tables of contents that lie, manifests that trick."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_container import bundle, manifest
from inference_container.bundle import BundleError
from inference_container.manifest import MANIFEST, STARTER, WEIGHTS, parse
from tests.gates.test_layering import PACKAGES, modules

GOOD = (STARTER / WEIGHTS).read_bytes()
TEXT = (STARTER / MANIFEST).read_text("utf-8")
ONE = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}


def weights(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with this header: bytes as they are, anything else as JSON."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def changed(**fields: Any) -> bytes:
    """The starter's weights, one tensor of them described otherwise."""
    size = int.from_bytes(GOOD[:8], "little")
    header = json.loads(GOOD[8 : 8 + size])
    name = next(name for name in header if name != "__metadata__")
    header[name] |= fields
    return weights(header, GOOD[8 + size :])


class Canary:
    """Sings when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def pickled(path: Path) -> bytes:
    return pickle.dumps({"head.bias": Canary(path)})


def torch_zip(path: Path) -> bytes:
    out = BytesIO()
    torch.save({"head.bias": Canary(path)}, out)
    return out.getvalue()


def torch_legacy(path: Path) -> bytes:
    out = BytesIO()
    torch.save({"head.bias": Canary(path)}, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def zipped(path: Path) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../escaped", b"x")
    return out.getvalue()


WEIGHT_FILES: dict[str, Callable[[Path], bytes]] = {
    "pickle": pickled,
    "torch zip": torch_zip,
    "torch legacy": torch_legacy,
    "zip that leaves its folder": zipped,
    **{
        name: (lambda path, data=data: data)  # type: ignore[misc]
        for name, data in {
            "empty": b"",
            "7 bytes": bytes(7),
            "header of 16 exabytes": b"\xff" * 8 + b"{}",
            "header of 101 MB": struct.pack("<Q", 101_000_000) + b"{}",
            "header bomb": weights({"__metadata__": {"a": "x" * (5 << 20)}, "a": ONE}, bytes(4)),
            "header longer than its file": struct.pack("<Q", 1000) + b"{}",
            "no JSON": weights(b"not json"),
            "no UTF-8": weights(b"\xff\xfe{}"),
            "nested 100,000 deep": weights(b'{"a":' * 100_000),
            "nested metadata": weights(b'{"__metadata__":' + b'{"a":' * 500 + b"1" + b"}" * 501),
            "list": weights([]),
            "nothing in it": weights({}),
            "same tensor twice": weights(b'{"a":%s,"a":%s}' % ((json.dumps(ONE).encode(),) * 2), bytes(4)),
            "hole": weights({"a": ONE, "b": ONE | {"data_offsets": [8, 12]}}, bytes(12)),
            "overlap": weights({"a": ONE, "b": ONE | {"data_offsets": [2, 6]}}, bytes(6)),
            "offset before the start": changed(data_offsets=[-1, 3]),
            "offset beyond the end": changed(data_offsets=[0, 1 << 40]),
            "shape of another size": changed(shape=[3, 3]),
            "shape that overflows": changed(shape=[2**63, 2**63]),
            "empty shape that overflows": weights({"a": {"dtype": "F16", "shape": [0, 2**63], "data_offsets": [0, 0]}}),
            "unknown element type": changed(dtype="F99"),
            "element type that torch lacks": weights(
                {"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, b"x"
            ),
            "other element type": changed(dtype="I16"),
            "trailing bytes": GOOD + b"more",
            "cut off": GOOD[:-1],
            "header only": GOOD[:5000],
            "name with a path": weights({"../../escaped": ONE}, bytes(4)),
        }.items()
    },
}


def written(folder: Path, data: bytes) -> Path:
    """A bundle whose manifest vouches for `data`."""
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(data)
    document = json.loads(TEXT) | {"sha256": hashlib.sha256(data).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize("make", WEIGHT_FILES.values(), ids=WEIGHT_FILES)
def test_weights_that_are_not_the_networks_are_refused_and_run_nothing(
    make: Callable[[Path], bytes], tmp_path: Path
) -> None:
    folder = written(tmp_path / "bundle", make(tmp_path / "canary"))
    with pytest.raises(BundleError) as refused:
        bundle.load(folder)
    assert "\n" not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert not (tmp_path.parent / "escaped").exists()


MANIFESTS = {
    "key twice": TEXT.replace("{", '{"name": "other",', 1),
    "key twice further in": TEXT.replace('"metrics": {', '"metrics": {"a": 1, "a": 2, ', 1),
    "infinite number": TEXT.replace('"metrics": {', '"metrics": {"a": 1e999, ', 1),
    "not a number": TEXT.replace('"metrics": {', '"metrics": {"a": NaN, ', 1),
    "number of 5,000 digits": TEXT.replace('"metrics": {', '"metrics": {"a": ' + "9" * 5000 + ", ", 1),
    "half a character": TEXT.replace('"metrics": {', r'"metrics": {"a": "\ud800", ', 1),
    "nested 100,000 deep": TEXT.replace('"metrics": {', '"metrics": {"a": ' + "[" * 100_000, 1),
    "too long": TEXT + " " * manifest.MAX_MANIFEST,
    "name that leaves its folder": TEXT.replace('"name": "', '"name": "../', 1),
    "version that leaves its folder": TEXT.replace('"version": "', '"version": "..', 1),
    "name with a line end": TEXT.replace('"name": "', r'"name": "a\n', 1),
    "class with a line end": TEXT.replace('"name": "cat"', r'"name": "cat\n{\"severity\": \"INFO\"}"', 1),
    "class with a terminal's escapes": TEXT.replace('"name": "cat"', r'"name": "\u001b[2Jcat"', 1),
}


@pytest.mark.parametrize("text", MANIFESTS.values(), ids=MANIFESTS)
def test_manifests_that_could_be_read_in_two_ways_are_refused(text: str, tmp_path: Path) -> None:
    assert text != TEXT
    (tmp_path / MANIFEST).write_text(text)
    (tmp_path / WEIGHTS).write_bytes(GOOD)
    with pytest.raises(BundleError, match=r"^model\.json") as refused:
        manifest.check_files(tmp_path)
    assert "\n" not in str(refused.value)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(TEXT)
    os.mkfifo(tmp_path / WEIGHTS)
    with pytest.raises(BundleError, match="not a file"):
        bundle.load(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    (tmp_path / WEIGHTS).mkdir()
    with pytest.raises(BundleError, match="not a file"):
        bundle.load(tmp_path)


def test_weights_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(TEXT)
    with (tmp_path / WEIGHTS).open("wb") as file:
        file.truncate(manifest.MAX_WEIGHTS + 1)  # a hole: takes no room
    with pytest.raises(BundleError, match="2048 MiB"):
        bundle.load(tmp_path)


def test_nothing_that_ships_can_unpickle() -> None:
    forbidden = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    calls = {"torch.load", "torch.save", "torch.jit.load", "numpy.load", "np.load", "pandas.read_pickle"}
    found = []
    for path in modules(*PACKAGES):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            used = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            found += [f"{path.name}: {name}" for name in names if name.split(".")[0] in forbidden]
            found += [f"{path.name}: {used}"] * (used in calls)
    assert found == []


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists),
    st.sampled_from(
        [
            "name",
            "version",
            "architecture",
            "classes",
            "inputSize",
            "outputStride",
            "normalization",
            "sha256",
            "metrics",
        ]
    ),
)
def test_a_manifest_with_anything_in_a_field_is_read_or_refused(value: Any, field: str) -> None:
    with suppress(BundleError):
        parse(json.dumps(json.loads(TEXT) | {field: value}))
