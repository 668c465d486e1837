"""What a GPU could do with the starter network, on paper: arithmetic and memory traffic against the card's limits.

Counted on the real network at its own size, in half precision: every convolution reads its input and weights and
writes its output once; elementwise steps are taken as fused into them. A batch reads the weights once. Cards' figures
are their data sheets' (dense half precision, memory bandwidth); `codec` is what the cores beside the card can decode
and encode, at 40 images/s per core for a mix of 0.3 to 12 megapixels.

    python -m benchmarks.roofline
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.report import finish

CARDS = {"L4": (121e12, 300e9, 4), "H100": (989e12, 3350e9, 16), "H200": (989e12, 4800e9, 16)}  # FLOP/s, B/s, cores
CODEC = 40.0  # images/s per core
BATCH = 32
BYTES = 2  # of a half


@dataclass(slots=True)
class Work:
    """Of one photo; weights are shared by a batch."""

    macs: int = 0
    activation_bytes: int = 0
    weight_bytes: int = 0


def main() -> None:
    work = counted()
    bytes_moved = work.activation_bytes + work.weight_bytes / BATCH
    cards: dict[str, Any] = {}
    for name, (flops, bandwidth, cores) in CARDS.items():
        compute, memory = flops / (2 * work.macs), bandwidth / bytes_moved
        forward, codec = min(compute, memory), CODEC * cores
        cards[name] = {
            "compute_images_per_s": round(compute),
            "memory_images_per_s": round(memory),
            "codec_images_per_s": round(codec),
            "limit": "decode and encode" if codec < forward else "memory" if memory < compute else "arithmetic",
        }
        print(f"{name:5} {cards[name]}")
    finish(
        "roofline",
        {"gmac": round(work.macs / 1e9, 3), "mb_moved": round(bytes_moved / 1e6, 1), "batch": BATCH, "cards": cards},
    )


def counted() -> Work:
    import torch
    from torch import nn

    from inference_container import bundle
    from inference_container.shapes import target_shape

    model = bundle.load(bundle.STARTER, fold=False)  # the twin in 8 bits has no convolutions to hook on
    work = Work()

    def count(conv: Any, inputs: tuple[Any, ...], output: Any) -> None:
        work.macs += output.numel() * conv.weight[0].numel()
        work.activation_bytes += BYTES * (inputs[0].numel() + output.numel())
        work.weight_bytes += BYTES * conv.weight.numel()

    for module in model.module.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    width, height = target_shape(4, 3, model.manifest.input_size)
    with torch.inference_mode():
        model.module(torch.zeros((1, 3, height, width), dtype=torch.uint8))
    return work


if __name__ == "__main__":
    main()
