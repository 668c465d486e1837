"""The starter model on the data sets' whole test splits, where they lie beside the checkout: the bar, and the card."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference_container import bundle, evaluation

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BAR = {"pets": 0.76, "people": 0.87}  # foreground IoU, pooled


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the data sets are not beside the checkout")
def test_the_starter_model_is_as_good_as_it_says() -> None:
    model = bundle.load(bundle.STARTER)
    report = evaluation.evaluate(model, evaluation.test_photos(DATA))
    for name, bar in BAR.items():
        assert report[name]["foregroundIoU"] >= bar
        said = model.manifest.metrics["test"][name]["foregroundIoU"]
        assert report[name]["foregroundIoU"] == pytest.approx(said, abs=0.002)  # other CPUs round differently
