"""The twin of `compact-v1` for CPUs: the same answers in 8-bit arithmetic, about twice as fast.

Static quantisation: what every layer gets and gives is a uint8 picture of numbers between two bounds that were seen on
training photos (`spans`, kept in the bundle); weights are int8, one scale per output channel, made from the bundle's
own when it is loaded. oneDNN's kernels, which PyTorch's compiler uses for the same purpose, add in integers: a photo's
mask does not depend on its batch. Quantised tensor types, now deprecated in PyTorch, are not used.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from inference_container.architectures.compact import STD, CompactNet, Down, Residual, Step, Up, through

Spans = Mapping[str, tuple[float, float]]  # place in the network → lowest and highest value that was seen there
What = Literal["input", "answer", "rectified"]  # of a module

# CPUs before VNNI add pairs of products in 16 bits, which must not overflow: 2 * 127 * 127 < 2 ** 15, and for the photo
# itself, whose pixels take 8 bits, 2 * 255 * 63. Then every CPU gives the same answer.
_LEVELS = 127
_PHOTO_WEIGHTS = 63


def available() -> bool:
    """Where these kernels are: x86 CPUs with oneDNN."""
    return platform.machine() in ("x86_64", "AMD64") and bool(torch._C._has_mkldnn)


@dataclass(frozen=True, slots=True)
class Span:
    """value = (level - zero) * scale, for levels 0 to 127."""

    scale: float
    zero: int

    @classmethod
    def of(cls, low: float, high: float) -> Span:
        low, high = min(low, 0.0), max(high, low + 1e-6, 1e-6)
        scale = (high - low) / _LEVELS
        return cls(scale, round(-low / scale))


class _Conv:
    """One convolution from one span to another; without a target its answer is float."""

    def __init__(self, conv: nn.Module, source: Span, target: Span | None, offset: Tensor | None = None) -> None:
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        weight = conv.weight.detach()
        scales = weight.abs().amax((1, 2, 3)).clamp_min(1e-12) / (_LEVELS if offset is None else _PHOTO_WEIGHTS)
        levels = (weight / scales.view(-1, 1, 1, 1)).round().to(torch.int8)
        bias = conv.bias.detach().clone()
        if offset is not None:  # what every input channel lacks, times the weights that will miss it
            bias += (weight.sum((2, 3)) * offset).sum(1)
        shape: list[Any] = [list(conv.stride), list(conv.padding), list(conv.dilation), conv.groups]
        packed = torch.ops.onednn.qconv_prepack(
            levels.contiguous(memory_format=torch.channels_last), scales, source.scale, source.zero, *shape
        )
        # The kernels' arguments around the picture that they may add to, made once.
        self._before = [source.scale, source.zero, packed, scales, torch.zeros(len(scales), dtype=torch.int32)]
        self._after = [bias, *shape, *([target.scale, target.zero, torch.uint8] if target else [1.0, 0, torch.float32])]
        self._most = _LEVELS if target else None

    def __call__(self, x: Tensor, then: str = "relu") -> Tensor:
        return self._bounded(torch.ops.onednn.qconv2d_pointwise(x, *self._before, *self._after, then, [], ""))

    def onto(self, x: Tensor, there: Tensor, span: Span) -> Tensor:
        """relu(there + conv(x)), where `there` has this `span`; it is overwritten."""
        return self._bounded(
            torch.ops.onednn.qconv2d_pointwise.binary(
                x, *self._before, there, *self._after, span.scale, span.zero, "sum", 1.0, "relu", [], ""
            )
        )

    def _bounded(self, answer: Tensor) -> Tensor:
        """The kernels fill all 8 bits."""
        return answer if self._most is None else answer.clamp_(max=self._most)


class Int8CompactNet(nn.Module):
    """uint8 (N, 3, H, W), H and W multiples of 32 -> float logits (N, classes, H/2, W/2), as `CompactNet`.

    `twin`: folded, in eval mode. KeyError: `spans` lack a place.
    """

    output_stride = CompactNet.output_stride

    def __init__(self, twin: CompactNet, spans: Spans) -> None:
        super().__init__()
        known = {name: Span.of(*bounds) for name, bounds in spans.items()}
        photo = Span(1 / (255 * STD), round(float(twin.mean.mean())))
        offset = (photo.zero - twin.mean.flatten()) * photo.scale
        self._stages = list(_stages(twin, known, photo, offset))
        self._deepest, self._context = known[_given_by(twin, len(twin.encoder) - 1)], known["context"]
        self._around = twin.context
        self._decoder = list(_decoder(twin, known))
        self._head = _Conv(twin.head, known[f"decoder.{len(twin.decoder) - 1}"], None)

    def forward(self, x: Tensor) -> Tensor:
        return through(x, self._stages, self._with_context, self._decoder, self._logits)

    def _logits(self, x: Tensor) -> Tensor:
        return self._head(x, "none")

    def _with_context(self, x: Tensor) -> Tensor:
        """In float: it is 1/1024 of the photo."""
        values = self._around((x.float() - self._deepest.zero) * self._deepest.scale)
        levels: Tensor = (values / self._context.scale).round_().clamp_(0, _LEVELS)
        return levels.to(torch.uint8).contiguous(memory_format=torch.channels_last)


def _downs(network: CompactNet) -> list[Down]:
    return cast("list[Down]", list(network.encoder))


def _blocks(stage: Down) -> list[Residual]:
    return cast("list[Residual]", list(stage.blocks))


def _ups(network: CompactNet) -> list[Up]:
    return cast("list[Up]", list(network.decoder))


def _stages(twin: CompactNet, spans: Mapping[str, Span], photo: Span, offset: Tensor) -> Iterator[Step]:
    before = photo
    for number, stage in enumerate(_downs(twin)):
        name = f"encoder.{number}"
        inner = spans[f"{name}.reduce"]
        reduce = _Conv(stage.reduce, before, inner, None if number else offset)
        blocks = []
        for place, block in enumerate(_blocks(stage)):
            after = spans[f"{name}.blocks.{place}"]
            blocks.append(_residual(block, inner, spans[f"{name}.blocks.{place}.first"], after))
            inner = after
        yield _down(reduce, blocks)
        before = inner


def _down(reduce: _Conv, blocks: list[Step]) -> Step:
    def step(x: Tensor) -> Tensor:
        x = reduce(x)
        for block in blocks:
            x = block(x)
        return x

    return step


def _residual(block: Residual, before: Span, inner: Span, after: Span) -> Step:
    first, second = _Conv(block.first, before, inner), _Conv(block.second, inner, after)
    return lambda x: second.onto(first(x), x, before)


def _decoder(twin: CompactNet, spans: Mapping[str, Span]) -> Iterator[Step]:
    before = spans["context"]
    for number, (up, level) in enumerate(zip(_ups(twin), (3, 2, 1), strict=True)):
        name = f"decoder.{number}"
        yield _up(
            up, before, spans[_given_by(twin, level)], [spans[f"{name}{part}"] for part in (".narrow", ".merged", "")]
        )
        before = spans[name]


def _up(up: Up, before: Span, skip: Span, spans: list[Span]) -> Step:
    narrowed, merged, after = spans
    narrow, lateral = _Conv(up.narrow, before, narrowed), _Conv(up.lateral, skip, merged)
    refine = _Conv(up.refine, merged, after)

    def step(x: Tensor, side: Tensor) -> Tensor:
        raised = functional.interpolate(narrow(x, "none"), scale_factor=2.0, mode="nearest")
        return refine(lateral.onto(side, raised, narrowed))

    return step


@torch.inference_mode()
def spans(network: CompactNet, photos: Iterable[Tensor]) -> dict[str, tuple[float, float]]:
    """The bounds of every layer's answers, each the mean over `photos` (uint8 (1, 3, H, W)): no photo decides alone.

    `network`: folded, in eval mode.
    """
    seen: dict[str, list[tuple[float, float]]] = {}
    with ExitStack() as hooks:
        for name, module, what in _places(network):
            hooks.enter_context(_watched(module, what, seen.setdefault(name, [])))
        for photo in photos:
            network(photo)
    return {name: (_mean(low for low, _ in rows), _mean(high for _, high in rows)) for name, rows in seen.items()}


def _places(network: CompactNet) -> Iterator[tuple[str, nn.Module, What]]:
    """Where a picture is kept in 8 bits: its name, a module that has it, and what of the module it is."""
    for number, stage in enumerate(_downs(network)):
        yield f"encoder.{number}.reduce", stage.reduce, "rectified"
        for place, block in enumerate(_blocks(stage)):
            yield f"encoder.{number}.blocks.{place}.first", block.first, "rectified"
            yield f"encoder.{number}.blocks.{place}", block, "answer"
    yield "context", network.context, "answer"
    for number, up in enumerate(_ups(network)):
        yield f"decoder.{number}.narrow", up.narrow, "answer"
        yield f"decoder.{number}.merged", up.refine, "input"
        yield f"decoder.{number}", up, "answer"


def _given_by(network: CompactNet, stage: int) -> str:
    """The place that a stage of the encoder ends at."""
    depth = len(_blocks(_downs(network)[stage]))
    return f"encoder.{stage}.blocks.{depth - 1}" if depth else f"encoder.{stage}.reduce"


def _watched(module: nn.Module, what: What, rows: list[tuple[float, float]]) -> RemovableHandle:
    def note(value: Tensor) -> None:
        rows.append((float(value.amin()), float(value.amax())))

    if what == "input":
        return module.register_forward_pre_hook(lambda _, given: note(given[0]))
    if what == "rectified":
        return module.register_forward_hook(lambda _, given, value: note(value.relu()))
    return module.register_forward_hook(lambda _, given, value: note(value))


def _mean(values: Iterable[float]) -> float:
    rows = list(values)
    return sum(rows) / len(rows)
