"""The device: one map of class ids per photo, and its failures in our words. On the CPU, which every machine has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference_container.cores import cores
from inference_container.device import Device, pick
from inference_container.faults import DeviceBroken, OutOfMemory
from inference_container.manifest import STARTER
from shared.errors import Misconfigured, Retryable


class Network(nn.Module):
    """Stands in for the model: `answer` gets the pixels."""

    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, pixels: Tensor) -> Tensor:
        return self.answer(pixels)


@pytest.fixture(name="device")
def loaded() -> Device:
    return Device(STARTER, "cpu")


def photos(count: int, shape: tuple[int, int] = (64, 96)) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    return [np.full((*shape, 3), 40 * at, np.uint8) for at in range(count)]


def failing(error: Exception) -> Network:
    def answer(pixels: Tensor) -> Tensor:
        raise error

    return Network(answer)


def test_every_photo_gets_a_map_of_class_ids(device: Device) -> None:
    device.warm_up()
    maps = device.segment(photos(3))
    assert [one.shape for one in maps if one is not None] == [(64, 96)] * 3
    assert all(one is not None and one.dtype == np.uint8 and one.max() < len(device.manifest.classes) for one in maps)


def test_a_photo_has_the_same_map_alone_and_in_company(device: Device) -> None:
    alone = [device.segment([one])[0] for one in photos(3)]
    together = device.segment(photos(3))
    for one, other in zip(alone, together, strict=True):
        assert one is not None
        assert other is not None
        assert np.mean(one != other) < 0.01  # other sums of floats


def test_the_network_sees_rows_as_rows_and_colours_as_colours(device: Device) -> None:
    device._module = Network(lambda pixels: pixels.float()[..., ::2, ::2])
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :, 1] = 9
    pixels[16:, :, 2] = 9
    (found,) = device.segment([pixels])
    assert found is not None
    assert (found.shape, found[0, 0], found[31, 63]) == ((32, 64), 1, 2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_answer_that_is_not_finite_is_no_map_and_harms_no_neighbour(device: Device, bad: float) -> None:
    def answer(pixels: Tensor) -> Tensor:
        logits = pixels.float()
        logits[1, 0, 0, 0] = bad
        return logits

    device._module = Network(answer)
    assert [one is None for one in device.segment(photos(3))] == [False, True, False]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried …"),
        RuntimeError("DefaultCPUAllocator: not enough memory"),
    ],
)
def test_no_memory_is_told_from_other_failures(device: Device, error: Exception) -> None:
    device._module = failing(error)
    with pytest.raises(OutOfMemory):
        device.segment(photos(1))


def test_other_failures_pass_on_a_cpu_and_are_final_on_a_gpu(device: Device) -> None:
    device._module = failing(RuntimeError("an illegal memory access was encountered"))
    with pytest.raises(Retryable) as passing:
        device.segment(photos(1))
    assert not isinstance(passing.value, DeviceBroken | OutOfMemory)
    device.kind = "cuda"
    device._moved = lambda photos: torch.zeros(1)  # type: ignore[method-assign]
    with pytest.raises(DeviceBroken):
        device.segment(photos(1))


def test_a_gpu_that_is_not_there_is_named() -> None:
    assert pick("cpu") == "cpu"
    if torch.cuda.is_available():
        assert pick("auto") == pick("cuda") == "cuda"
    else:
        assert pick("auto") == "cpu"
        with pytest.raises(Misconfigured, match="no GPU"):
            pick("cuda")


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1
