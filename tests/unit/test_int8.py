"""The twin in 8 bits answers as the network does, whatever the batch, or the bundle is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from inference_container import architectures, bundle
from inference_container.architectures import int8
from inference_container.architectures.compact import CompactNet
from inference_container.architectures.folding import fold_batch_norms
from inference_container.bundle import BundleError
from tests.unit.test_bundle import MANIFEST, network

pytestmark = pytest.mark.skipif(not int8.available(), reason="these kernels are for x86 CPUs with oneDNN")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def photo(seed: int, height: int = 64, width: int = 96) -> Tensor:
    """Smooth, as photos are: noise alone has answers that any rounding changes."""
    coarse = torch.rand((1, 3, 8, 12), generator=torch.Generator().manual_seed(seed))
    return (nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)


@pytest.fixture(name="folded")
def folding() -> CompactNet:
    made = network()
    fold_batch_norms(made)
    assert isinstance(made, CompactNet)
    return made


@pytest.fixture(name="spans")
def calibrating(folded: CompactNet) -> dict[str, tuple[float, float]]:
    return architectures.calibrated(folded, (photo(seed) for seed in range(8)))


@torch.inference_mode()
def test_the_twin_answers_as_the_network_does(folded: CompactNet, spans: dict[str, tuple[float, float]]) -> None:
    twin = architectures.in_int8(folded, spans)
    assert isinstance(twin, int8.Int8CompactNet)
    for seed, size in enumerate([(64, 96), (32, 128), (96, 64)]):
        expected, answer = (one(photo(100 + seed, *size)) for one in (folded, twin))
        assert answer.shape == expected.shape
        assert float((answer - expected).abs().mean() / expected.std()) < 0.1


@torch.inference_mode()
def test_an_answer_does_not_depend_on_its_company(folded: CompactNet, spans: dict[str, tuple[float, float]]) -> None:
    twin = architectures.in_int8(folded, spans)
    photos = [photo(seed) for seed in range(5)]
    together = twin(torch.cat(photos))
    for one, answer in zip(photos, together, strict=True):
        assert torch.equal(twin(one)[0], answer)


@torch.inference_mode()
def test_nothing_overflows_at_the_brightest_photo_and_the_largest_values(folded: CompactNet) -> None:
    white = torch.full((1, 3, 64, 96), 255, dtype=torch.uint8)
    twin = architectures.in_int8(folded, architectures.calibrated(folded, [white]))
    expected, answer = folded(white), twin(white)
    assert float((answer - expected).abs().mean() / expected.std()) < 0.1


def test_a_photo_is_left_as_it_was(folded: CompactNet, spans: dict[str, tuple[float, float]]) -> None:
    mine = photo(1)
    before = mine.clone()
    architectures.in_int8(folded, spans)(mine)
    assert torch.equal(mine, before)


def test_a_bundle_with_spans_is_loaded_as_its_twin_and_without_them_as_itself(
    tmp_path: Path, spans: dict[str, tuple[float, float]]
) -> None:
    bundle.save(tmp_path / "with", replace(MANIFEST, spans=spans), network())
    bundle.save(tmp_path / "without", MANIFEST, network())
    assert isinstance(bundle.load(tmp_path / "with").module, int8.Int8CompactNet)
    assert isinstance(bundle.load(tmp_path / "without").module, CompactNet)
    assert isinstance(bundle.load(tmp_path / "with", fold=False).module, CompactNet)


def test_where_the_kernels_are_missing_the_network_itself_is_used(
    folded: CompactNet, spans: dict[str, tuple[float, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert architectures.in_int8(folded, spans) is folded


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (None, "lacks 'encoder.2.blocks.1'"),
        ([1], "pairs of numbers"),
        ([2.0, 1.0], "the lower one first"),
        ([0.0, 1e300], "pairs of numbers"),
        (["0", "1"], "pairs of numbers"),
        ([True, True], "pairs of numbers"),
        ({}, "pairs of numbers"),
    ],
)
def test_spans_that_cannot_be_used_are_refused(
    tmp_path: Path, spans: dict[str, tuple[float, float]], bounds: Any, words: str
) -> None:
    bundle.save(tmp_path, replace(MANIFEST, spans=spans), network())
    document = json.loads((tmp_path / "model.json").read_text())
    document["spans"]["encoder.2.blocks.1"] = bounds
    if bounds is None:
        del document["spans"]["encoder.2.blocks.1"]
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match=words):
        bundle.load(tmp_path)


def test_spans_of_nothing_do_not_divide_by_zero(folded: CompactNet, spans: dict[str, tuple[float, float]]) -> None:
    twin = architectures.in_int8(folded, dict.fromkeys(spans, (0.0, 0.0)))
    assert bool(twin(photo(3)).isfinite().all())
