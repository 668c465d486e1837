"""The registry of architectures: a bundle names one, `build` makes it with random weights.

An architecture is an `nn.Module` with an `output_stride`, uint8 photos in, logits out, normalisation inside.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from inference_container.architectures.compact import CompactNet

_BUILDERS: dict[str, Callable[[int], nn.Module]] = {"compact-v1": CompactNet}


def names() -> tuple[str, ...]:
    """Every architecture that `build` knows."""
    return tuple(_BUILDERS)


def build(name: str, classes: int) -> nn.Module:
    """A network `name` with `classes` output channels; KeyError for a name that is not registered."""
    return _BUILDERS[name](classes)


def output_stride(network: nn.Module) -> int:
    """Pixels of the photo per logit, along one side: 1, 2 or 4."""
    stride = network.output_stride
    assert isinstance(stride, int)
    return stride
