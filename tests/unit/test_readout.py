from __future__ import annotations

import numpy as np
import pytest
import torch

from inference_container.readout import class_ids, raised


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("classes", [1, 2, 4, 200])
def test_every_pixel_gets_the_class_of_its_highest_logit_and_of_equals_the_lowest(classes: int, stride: int) -> None:
    levels = torch.from_numpy(np.random.default_rng(3).integers(-2, 3, (2, classes, 6, 10)).astype(np.float32))
    logits = levels.contiguous(memory_format=torch.channels_last)
    found = class_ids(logits, stride)
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), raised(logits, stride).numpy().argmax(1))
