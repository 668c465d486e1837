"""What a user would build instead: our network in a peer's server, as `benchmarks.peers` starts it in the peer's venv.

On the path `ours` a peer decodes and encodes with this project's code, so that only serving differs; on `naive` it does
what tutorials show: full decode, float resize, logits at the photo's size, Pillow's default PNG.
"""

from __future__ import annotations

import argparse
import io
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

READY = "a worker is ready"  # printed by each; until all are, connections would go to the first
MODEL = "maskline"  # its name in servers that want one
_OPTIONS = "PEER_OPTIONS"  # JSON, for the workers that a server starts itself


def options() -> argparse.Namespace:
    """From the command line; in a worker that a server started, those of its parent."""
    if _OPTIONS in os.environ:
        return argparse.Namespace(**json.loads(os.environ[_OPTIONS]))
    read = _parser().parse_args()
    os.environ[_OPTIONS] = json.dumps(vars(read))
    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", choices=("ours", "naive"), default="ours")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0: its own default")
    parser.add_argument("--fold", action="store_true", help="the network as our container loads it, not as trained")
    parser.add_argument(
        "--at-once", type=int, default=0, help="photos in one worker's threads; 0: the server's default"
    )
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--wait-ms", type=float, default=5)
    return parser


class Segmenter:
    """JPEG → PNG, whole or in the three steps that a batching server wants."""

    def __init__(self, given: argparse.Namespace) -> None:
        import torch

        from inference_container import bundle

        if given.threads:
            torch.set_num_threads(given.threads)
        loaded = bundle.load(bundle.STARTER, "cpu", fold=given.fold)  # its smoke inference is the warm-up
        self.network, self.manifest = loaded.module, loaded.manifest
        self.naive = given.path == "naive"

    def __call__(self, data: bytes) -> bytes:
        return self.whole([data])[0]

    def whole(self, photos: Sequence[bytes]) -> list[bytes]:
        """A batch that a server hands over as it came; a damaged photo fails it."""
        before = [self.before(photo) for photo in photos]
        return [self.after(*pair) for pair in zip(before, self.forward(before), strict=True)]

    def before(self, data: bytes) -> Any:
        if self.naive:
            return _naive_before(data, self.manifest.input_size)
        from inference_container.resample import decode

        return decode(data, self.manifest.input_size)

    def forward(self, photos: Sequence[Any]) -> list[Any]:
        """Neighbours of another shape run alone, as in a peer that knows nothing of buckets."""
        if self.naive:
            return [self._naive_forward(*photo) for photo in photos]
        if len({photo.pixels.shape for photo in photos}) == 1:
            return self._classes(photos)
        return [self._classes([photo])[0] for photo in photos]

    def after(self, photo: Any, answer: Any) -> bytes:
        if self.naive:
            return _naive_after(answer, self.manifest.classes)
        from inference_container.cells import laid_out
        from inference_container.encode import png

        return png(laid_out(answer, photo.width, photo.height), self.manifest.classes)

    def _classes(self, photos: Sequence[Any]) -> list[Any]:
        import numpy as np
        import torch

        from inference_container.readout import class_ids

        with torch.inference_mode():
            pixels = torch.from_numpy(np.stack([photo.pixels for photo in photos])).permute(0, 3, 1, 2)
            return list(class_ids(self.network(pixels), self.manifest.output_stride).numpy())

    def _naive_forward(self, small: Tensor, size: tuple[int, int]) -> Any:
        import torch

        with torch.inference_mode():
            logits = torch.nn.functional.interpolate(self.network(small), size[::-1], mode="bilinear")
            return logits.argmax(1)[0].byte().numpy()


def plain_masks(photos: Sequence[bytes]) -> list[bytes]:
    """The reference of peers that run the network as trained: ours may run it in 8 bits."""
    segmenter = Segmenter(argparse.Namespace(threads=1, fold=False, path="ours"))
    return [segmenter(photo) for photo in photos]


def _naive_before(data: bytes, input_size: int) -> tuple[Tensor, tuple[int, int]]:
    import numpy as np
    import torch
    from PIL import Image

    from inference_container.shapes import target_shape

    image = Image.open(io.BytesIO(data)).convert("RGB")
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float()
    width, height = target_shape(image.width, image.height, input_size)
    small = torch.nn.functional.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
    return small, image.size


def _naive_after(ids: Any, classes: Sequence[Any]) -> bytes:
    from PIL import Image

    image = Image.frombytes("P", ids.shape[::-1], ids.tobytes())
    image.putpalette(b"".join(one.rgb for one in classes))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
