"""A bundle comes back as it went in, or is refused with a sentence a person understands."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inference_container import architectures, bundle
from inference_container.bundle import BundleError, ClassInfo, Manifest
from shared.errors import Misconfigured

Document = dict[str, Any]

MANIFEST = Manifest(
    name="toy",
    version="1",
    architecture="compact-v1",
    classes=(ClassInfo(0, "background", "#000000"), ClassInfo(1, "thing", "#e69f00")),
    input_size=64,
    output_stride=2,
    normalization={"insideNetwork": True},
    metrics={"foregroundIoU": 0.5},
    lineage={"data": ["none"]},
)


def network() -> nn.Module:
    """A network whose batch normalisation is not the identity."""
    torch.manual_seed(5)
    made = architectures.build("compact-v1", 2)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features) * 0.1
            module.running_var = torch.rand(module.num_features) + 0.5
    return made.eval()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # threads that wait for a busy core spin: ten times slower on a shared machine


@pytest.fixture(name="folder")
def saved(tmp_path: Path) -> Path:
    bundle.save(tmp_path / "toy", MANIFEST, network())
    return tmp_path / "toy"


def rewrite(folder: Path, change: Callable[[Document], object]) -> None:
    """Change `model.json` as a person with an editor would."""
    document = json.loads((folder / "model.json").read_text())
    change(document)
    (folder / "model.json").write_text(json.dumps(document))


def reweigh(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Change the weights and let the manifest vouch for them."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    rewrite(folder, lambda document: document.update(sha256=digest))


def test_a_saved_network_answers_the_same(folder: Path) -> None:
    photos = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    loaded = bundle.load(folder)
    with torch.inference_mode():
        expected, answer = network()(photos), loaded.module(photos)
    assert answer.shape == (2, 2, 32, 48)
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer, expected, atol=0.01, rtol=0.01)  # fp16 rounds the weights


def test_folding_changes_the_form_not_the_answer(folder: Path) -> None:
    photos = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    folded, plain = bundle.load(folder).module, bundle.load(folder, fold=False).module
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.inference_mode():
        torch.testing.assert_close(folded(photos), plain(photos), atol=1e-4, rtol=1e-4)


def test_an_unfolded_bundle_can_be_saved_again_and_is_the_same_file(folder: Path, tmp_path: Path) -> None:
    loaded = bundle.load(folder, fold=False)
    again = bundle.save(tmp_path / "again", replace(loaded.manifest, sha256=""), loaded.module)
    assert again == loaded.manifest


def test_manifest_comes_back_whole(folder: Path) -> None:
    read = bundle.read_manifest(folder)
    assert replace(read, sha256="") == MANIFEST
    assert read.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_weights_are_stored_in_half_precision(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    assert not [path.name for path in folder.iterdir() if path.suffix == ".part"]


def test_loaded_module_is_ready_to_serve(folder: Path) -> None:
    module = bundle.load(folder).module
    assert not module.training
    assert all(value.dtype == torch.float32 and not value.requires_grad for value in module.parameters())


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"no {name}"):
        bundle.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": NaN}', "\ufeff{}", "[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text)
    with pytest.raises(BundleError, match="JSON"):
        bundle.load(folder)


def test_a_manifest_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "model.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match="UTF-8"):
        bundle.load(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "../up"),
        ("version", 1),
        ("architecture", "resnet-9000"),
        ("classes", []),
        ("classes", [{"id": 0, "name": "background", "color": "#000000"}]),
        ("classes", [{"id": n, "name": "twice", "color": "#000000"} for n in (0, 1)]),
        ("classes", [{"id": n, "name": str(n), "color": "#000000"} for n in (0, 2)]),
        ("classes", [{"id": n, "name": str(n), "color": "red"} for n in (0, 1)]),
        ("classes", [{"id": n, "name": " ", "color": "#000000"} for n in (0, 1)]),
        ("classes", ["background", "thing"]),
        ("inputSize", 31),
        ("inputSize", True),
        ("inputSize", 64.0),
        ("outputStride", 4),
        ("outputStride", 3),
        ("normalization", None),
        ("sha256", "abc"),
        ("metrics", []),
        ("lineage", "mine"),
    ],
)
def test_a_wrong_field_is_named(folder: Path, field: str, value: object) -> None:
    rewrite(folder, lambda document: document.update({field: value}))
    with pytest.raises(BundleError, match="class|color" if field == "classes" else field):
        bundle.load(folder)


def test_a_missing_field_is_named(folder: Path) -> None:
    rewrite(folder, lambda document: document.pop("lineage"))
    with pytest.raises(BundleError, match="lineage"):
        bundle.load(folder)


def test_changed_weights_are_found_before_they_are_parsed(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x80\x04not safetensors at all")
    with pytest.raises(BundleError, match="sha256"):
        bundle.load(folder)


@pytest.mark.parametrize("data", [b"", b"\x80\x04", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]"])
def test_weights_in_another_format_are_refused(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    rewrite(folder, lambda document: document.update(sha256=hashlib.sha256(data).hexdigest()))
    with pytest.raises(BundleError, match="safetensors"):
        bundle.load(folder)


def head(change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], object]:
    """A change of one tensor of the file."""
    return lambda tensors: tensors.update({"head.bias": change(tensors["head.bias"])})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("head.bias"), "lacks 1 tensors, head.bias"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "unknown tensors, extra"),
        (head(lambda bias: bias[:4].clone()), r"shape \[4\], not \[8\]"),
        (head(lambda bias: bias.to(torch.int16)), "element type"),
        (head(lambda bias: bias.to(torch.float64)), "element type"),
        (head(lambda bias: bias * torch.nan), "not finite"),
        (head(lambda bias: bias + torch.inf), "not finite"),
    ],
)
def test_wrong_tensors_are_named(folder: Path, change: Callable[[dict[str, Tensor]], object], words: str) -> None:
    reweigh(folder, change)
    with pytest.raises(BundleError, match=words):
        bundle.load(folder)


def test_finite_weights_that_give_infinite_answers_fail_the_smoke_inference(folder: Path) -> None:
    def explode(tensors: dict[str, Tensor]) -> None:
        tensors |= {key: torch.full_like(value.float(), 3e38) for key, value in tensors.items() if "head" in key}

    reweigh(folder, explode)
    with pytest.raises(BundleError, match="answers values"):
        bundle.load(folder)


def test_weights_beyond_half_precision_are_not_written(tmp_path: Path) -> None:
    huge = network()
    huge.get_parameter("head.bias").data.fill_(1e6)
    with pytest.raises(BundleError, match="fp16"):
        bundle.save(tmp_path / "huge", MANIFEST, huge)
    assert not (tmp_path / "huge").exists()


def test_messages_hold_no_path_and_are_for_the_edge(folder: Path, tmp_path: Path) -> None:
    (folder / "model.json").unlink()
    with pytest.raises(Misconfigured) as caught:
        bundle.load(folder)
    assert str(tmp_path) not in str(caught.value)


def test_an_unknown_architecture_has_no_builder() -> None:
    with pytest.raises(KeyError):
        architectures.build("resnet-9000", 2)


def test_reading_bundles_imports_neither_training_nor_images() -> None:
    code = "import sys, inference_container.bundle; print(*(m for m in sys.modules if 'training' in m or m == 'PIL'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_starter_model_is_small_and_loads() -> None:
    starter = bundle.load(bundle.STARTER)
    assert [one.name for one in starter.manifest.classes] == ["background", "person", "cat", "dog"]
    assert (bundle.STARTER / "model.safetensors").stat().st_size <= 8_000_000
    assert starter.manifest.lineage["attributions"]
