"""`compact-v1`: a small residual U-Net, trained from scratch, made for one CPU thread.

Dense 3x3 convolutions, not depthwise ones: on a CPU a depthwise layer waits for memory, so at equal time a dense
network of few channels does several times the arithmetic. Resolution drops to 1/4 at once, where most of the
time would go, and the head wins one step back by writing 2x2 sub-pixels (logits at half the input size).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (16, 32, 64, 128, 192)  # channels at stride 2, 4, 8, 16, 32
DEPTHS = (0, 1, 2, 3, 2)  # residual blocks at the same strides
MEAN = (0.5, 0.47, 0.44)  # of the training photos, in units of 0..1
STD = 0.27
Step = Callable[..., Tensor]


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, then batch normalisation; 'same' padding."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut: (N, C, H, W) -> the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv_bn(width, width)
        self.second = conv_bn(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class Down(nn.Module):
    """Halve the resolution with a strided 3x3, then refine."""

    def __init__(self, inputs: int, outputs: int, depth: int) -> None:
        super().__init__()
        self.reduce = conv_bn(inputs, outputs, stride=2)
        self.blocks = nn.Sequential(*(Residual(outputs) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        refined: Tensor = self.blocks(functional.relu(self.reduce(x)))
        return refined


class Context(nn.Module):
    """Add what the whole photo says (its mean features) to every place: (N, C, H, W) -> the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.project(x.mean((2, 3), keepdim=True)))


class Up(nn.Module):
    """Double the resolution and merge the encoder's features of that size."""

    def __init__(self, inputs: int, skip: int) -> None:
        super().__init__()
        self.narrow = conv_bn(inputs, skip, kernel=1)
        self.lateral = conv_bn(skip, skip, kernel=1)
        self.refine = conv_bn(skip, skip)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        raised = functional.interpolate(self.narrow(x), scale_factor=2.0, mode="nearest")
        return functional.relu(self.refine(functional.relu(raised + self.lateral(skip))))


class CompactNet(nn.Module):
    """uint8 (N, 3, H, W), H and W multiples of 32 -> float logits (N, classes, H/2, W/2)."""

    output_stride = 2
    mean: Tensor

    def __init__(self, classes: int, widths: Sequence[int] = WIDTHS, depths: Sequence[int] = DEPTHS) -> None:
        super().__init__()
        pairs = zip((3, *widths[:-1]), widths, depths, strict=True)
        self.encoder = nn.ModuleList(Down(a, b, depth) for a, b, depth in pairs)
        self.context = Context(widths[-1])
        self.decoder = nn.ModuleList(Up(widths[i], widths[i - 1]) for i in (4, 3, 2))
        self.head = nn.Conv2d(widths[1], classes * 4, 3, padding=1)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / (255 * STD)  # uint8 - float32 gives float32
        return through(x, self.encoder, self.context, self.decoder, self.head)


def through(x: Tensor, encoder: Iterable[Step], context: Step, decoder: Iterable[Step], head: Step) -> Tensor:
    """The way through the network, whatever its steps compute in."""
    skips: list[Tensor] = []
    for down in encoder:
        x = down(x)
        skips.append(x)
    x = context(x)
    for up, skip in zip(decoder, skips[3:0:-1], strict=True):
        x = up(x, skip)
    return functional.pixel_shuffle(head(x), 2)
