"""From logits to classes at model resolution: the step that training's figures, the golden photos and serving share.

Logits come at half the input's size. Raised as numbers, then decided, an edge runs between the network's cells; decided
first and copied, it would be a staircase of cells. That is worth 0.4 points of IoU on people, and costs 1 ms of a core.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def class_ids(logits: Tensor, stride: int) -> Tensor:
    """Logits (N, classes, H / stride, W / stride) -> uint8 (N, H, W) of class ids; of equals, the lowest.

    One class after the other over whole planes, which a CPU does in a third of the time of an argmax across them.
    """
    best, *others = raised(logits.contiguous(), stride).unbind(1)
    ids = torch.zeros_like(best, dtype=torch.uint8)
    for place, rival in enumerate(others, start=1):
        ids = torch.maximum(ids, (rival > best).to(torch.uint8) * place)
        best = torch.maximum(best, rival)
    return ids


def raised(logits: Tensor, stride: int) -> Tensor:
    """Logits (N, classes, H / stride, W / stride) -> (N, classes, H, W)."""
    if stride == 1:
        return logits
    return functional.interpolate(logits, scale_factor=float(stride), mode="bilinear", align_corners=False)
