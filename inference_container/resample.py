"""`preprocess.resize` in torch's kernels: Pillow's pixels within one level of 255 (seldom two), in a third of the time.

For processes that hold torch anyway: a decoder of the `sandbox` does without.
"""

from __future__ import annotations

import torch
from PIL import Image

from inference_container import preprocess
from inference_container.decode import Photo
from inference_container.decode import decode as decode_with
from inference_container.preprocess import GAP, Box, Shape


def decode(data: bytes, input_size: int) -> Photo:
    """`decode.decode` with the quick filter."""
    return decode_with(data, input_size, resize)


def resize(image: Image.Image, shape: Shape, box: Box) -> Image.Image:
    """As `preprocess.resize`, of RGB; `box` begins at (0, 0)."""
    wanted = box[2:]
    reduced = any(side / target >= GAP for side, target in zip(wanted, shape, strict=True))  # perhaps, and first
    kept = any(a == b != c for a, b, c in zip(image.size, shape, wanted, strict=True))  # torch would ignore the box
    if reduced or kept:
        return preprocess.resize(image, shape, box)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(1, image.height, image.width, 3)
    (width, height), scales = shape, [target / side for side, target in zip(wanted, shape, strict=True)]
    resized = torch.ops.aten._upsample_bilinear2d_aa(
        pixels.permute(0, 3, 1, 2), [height, width], False, scales[1], scales[0]
    )
    return Image.fromarray(resized[0].permute(1, 2, 0).numpy())
