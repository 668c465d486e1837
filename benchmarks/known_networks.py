"""Networks of 1.09 GMAC at 256 x 256 px for `known`, with random weights: one of separable convolutions, one dense."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference_container.architectures.compact import MEAN, STD, CompactNet
from inference_container.architectures.folding import fold_batch_norms

CLASSES = 4
WIDTHS = (64, 128, 256, 512)  # channels at stride 2, 4, 8, 16
DEPTHS = (1, 2, 2, 3)  # layers at the same strides
WIDER = (24, 40, 80, 144, 224)  # of our own class of network


class Separable(nn.Module):
    """A 3x3 convolution of each channel alone, then a 1x1 that mixes them."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.alone = _normal(nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False))
        self.mixed = _normal(nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu_(self.mixed(functional.relu_(self.alone(x))))


class SeparableNet(nn.Module):
    """uint8 (N, 3, H, W) -> float logits (N, classes, H/2, W/2): down to 1/16, and up again beside what it saw."""

    output_stride = 2
    mean: Tensor

    def __init__(self, widths: Sequence[int] = WIDTHS, depths: Sequence[int] = DEPTHS) -> None:
        super().__init__()
        self.stem = _normal(nn.Conv2d(3, widths[0] // 2, 3, 2, 1, bias=False))
        before = (widths[0] // 2, *widths)
        self.down = nn.ModuleList(_stage(*row) for row in zip(before, widths, depths, (1, 2, 2, 2), strict=False))
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(Separable(deep + skip, skip) for deep, skip in pairs)
        self.head = nn.Conv2d(widths[0], CLASSES, 1)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu_(self.stem((x - self.mean) / (255 * STD)))
        seen: list[Tensor] = []
        for stage in self.down:
            x = stage(x)
            seen.append(x)
        for up, skip in zip(self.up, seen[-2::-1], strict=True):
            x = up(torch.cat([functional.interpolate(x, scale_factor=2.0), skip], 1))
        logits: Tensor = self.head(x)
        return logits


def _stage(inputs: int, outputs: int, depth: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Separable(inputs, outputs, stride), *(Separable(outputs, outputs) for _ in range(depth - 1)))


def _normal(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "separable": SeparableNet,
    "dense": lambda: CompactNet(CLASSES, WIDER),
}


def folded(network: nn.Module) -> nn.Module:
    network.eval().requires_grad_(False)
    fold_batch_norms(network)
    return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]
