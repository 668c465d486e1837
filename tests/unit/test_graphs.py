"""Graphs answer what the forward answers, whatever the batch. Only where there is a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from inference_container import graphs
from inference_container.device import Device
from inference_container.graphs import Graphs
from inference_container.manifest import STARTER

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def forward(photos: Tensor) -> tuple[Tensor, Tensor]:
    return photos.sum((1, 2, 3)) > 0, photos[..., 0] * 2


def photos(count: int, height: int = 32) -> Tensor:
    draw = torch.Generator().manual_seed(count)
    return torch.randint(1, 100, (count, height, 64, 3), dtype=torch.uint8, generator=draw).cuda()


def test_a_graph_answers_for_every_number_of_photos_up_to_its_own() -> None:
    made = Graphs(forward)
    for count in (5, 8, 1, 3, 2, 5):
        finite, classes = made(photos(count))
        assert finite.all()
        assert torch.equal(classes, forward(photos(count))[1])


def test_shapes_beyond_the_limit_are_answered_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "_MOST", 2)
    made = Graphs(forward)
    for height in (32, 64, 96, 128, 32):
        assert torch.equal(made(photos(3, height))[1], forward(photos(3, height))[1])
    assert len(made._captured) == 2


def test_the_starter_has_the_same_masks_with_and_without() -> None:
    device = Device(STARTER, "cuda")
    draw = np.random.default_rng(1)
    batch = [draw.integers(0, 255, (192, 256, 3), np.uint8) for _ in range(5)]
    with_graphs, device._graphs = device.segment(batch), None
    for one, other in zip(with_graphs, device.segment(batch), strict=True):
        assert one is not None
        assert other is not None
        assert np.mean(one != other) < 0.001
