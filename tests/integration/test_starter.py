"""The starter model on the data sets' whole test splits, where they lie beside the checkout: the bar, and the card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from inference_container import bundle, evaluation
from inference_container.architectures import int8

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BAR = {"pets": 0.85, "pets/oxford-naveen": 0.88, "people": 0.92}  # foreground IoU, pooled
SPECIES = 0.9  # of the pet photos: cat and dog told apart
MEGABYTES = 8
NEAR = 0.003  # of mean IoU, between 8 bits and floats


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the evaluation; two that wait for each other on a busy machine take many times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the data sets are not beside the checkout")
def test_the_starter_model_is_as_good_as_it_says() -> None:
    model = bundle.load(bundle.STARTER)
    report = evaluation.evaluate(model, evaluation.test_photos(DATA))
    for name, bar in BAR.items():
        assert report[name]["foregroundIoU"] >= bar
        said = model.manifest.metrics["test"][name]["foregroundIoU"]
        assert report[name]["foregroundIoU"] == pytest.approx(said, abs=0.002)  # other CPUs round differently
    assert report["pets"]["speciesAccuracy"] >= SPECIES


def test_the_starter_model_is_small() -> None:
    assert (bundle.STARTER / "model.safetensors").stat().st_size <= MEGABYTES * 1e6


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the data sets are not beside the checkout")
@pytest.mark.skipif(not int8.available(), reason="there is nothing to compare: this CPU computes in floats")
def test_eight_bits_see_what_floats_see() -> None:
    photos = list(evaluation.test_photos(DATA))[::4]
    eight, floats = bundle.load(bundle.STARTER), bundle.load(bundle.STARTER, fold=False)
    assert isinstance(eight.module, int8.Int8CompactNet)
    found, expected = evaluation.evaluate(eight, photos), evaluation.evaluate(floats, photos)
    for name in BAR:
        assert found[name]["mIoU"] == pytest.approx(expected[name]["mIoU"], abs=NEAR)
