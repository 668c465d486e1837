"""The registry of architectures: a bundle names one, `build` makes it with random weights.

An architecture is an `nn.Module` with an `output_stride`, uint8 photos in, logits out, normalisation inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from torch import Tensor, nn

from inference_container.architectures import int8
from inference_container.architectures.compact import CompactNet

_BUILDERS: dict[str, Callable[[int], nn.Module]] = {
    "compact-v1": CompactNet,
    # Five times the arithmetic: what teaches the other one during training.
    "compact-wide-v1": partial(CompactNet, widths=(32, 64, 128, 256, 384), depths=(0, 2, 3, 4, 3)),
}


def names() -> tuple[str, ...]:
    """Every architecture that `build` knows."""
    return tuple(_BUILDERS)


def build(name: str, classes: int) -> nn.Module:
    """A network `name` with `classes` output channels; KeyError for a name that is not registered."""
    return _BUILDERS[name](classes)


def calibrated(network: nn.Module, photos: Iterable[Tensor]) -> dict[str, tuple[float, float]]:
    """What `in_int8` needs to know of a folded `network`, from photos of its training; empty if it has no such twin."""
    return int8.spans(network, photos) if isinstance(network, CompactNet) else {}


def in_int8(network: nn.Module, spans: int8.Spans) -> nn.Module:
    """The twin of a folded `network` in 8 bits, or the network itself where there is none.

    KeyError: `spans` lack a place.
    """
    if not spans or not isinstance(network, CompactNet) or not int8.available():
        return network
    return int8.Int8CompactNet(network, spans).eval()


def output_stride(network: nn.Module) -> int:
    """Pixels of the photo per logit, along one side: 1, 2 or 4."""
    stride = network.output_stride
    assert isinstance(stride, int)
    return stride
