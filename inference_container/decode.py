"""From the bytes of a photo to upright RGB pixels at model size, without ever trusting the bytes.

Order: header (`shared.probe`), structure (`bare`), then one Pillow decoder of our choice on what is left. A JPEG is
decoded at 1/2, 1/4 or 1/8 of its size where that still covers the model's; other formats are decoded whole, then
reduced by stripes. Turned upright last, when it is small. Knows no model and no torch.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from inference_container.bare import bare
from inference_container.giants import alone
from inference_container.preprocess import GAP, Box, Resize, Shape, resize, whole
from inference_container.rows import check_rows
from inference_container.shapes import target_shape
from shared.errors import Rejected
from shared.prediction import Reason
from shared.probe import Header, probe_bytes
from shared.probe.source import damaged

_DECODERS: dict[str, type[ImageFile.ImageFile]] = {  # by class: Image.open would try others, and load them all first
    "image/jpeg": JpegImagePlugin.JpegImageFile,
    "image/png": PngImagePlugin.PngImageFile,
    "image/webp": WebPImagePlugin.WebPImageFile,
}
_TURNS = {  # EXIF orientation → what makes the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_STRIPE = 1 << 20  # px
_GIANT = 16_000_000  # px; larger photos are decoded one at a time, which bounds the memory of a whole instance


@dataclass(frozen=True, slots=True)
class Photo:
    """`pixels`: uint8 (h, w, 3), upright RGB at `shapes.target_shape`. `width`, `height`: px of the whole photo."""

    pixels: NDArray[np.uint8]
    width: int
    height: int
    content_type: str


def decode(data: bytes, input_size: int, resize: Resize = resize) -> Photo:
    """The photo in `data` at the size for a model of `input_size` px.

    Raises `Rejected` with UNSUPPORTED_MEDIA, TOO_LARGE, TOO_MANY_PIXELS, BAD_DIMENSIONS, TOO_COMPLEX or
    CORRUPT_IMAGE; MemoryError passes, since the file is not to blame. First frame of animations, first picture of
    MPO; colour profiles are ignored; what is transparent becomes white, as on the page it was cut out for.
    A picture that ends early inside a complete file is CORRUPT_IMAGE, too, except a JPEG's later scans (`scans`).
    Safe to call from several threads. `resize`: its twin in `resample` is quicker, and needs torch.
    """
    header = probe_bytes(data)
    shape = target_shape(header.width, header.height, input_size)
    with alone() if header.width * header.height > _GIANT else nullcontext():
        image = _upright(_small(data, header, shape[::-1] if header.lying else shape, resize), header.orientation)
    return Photo(np.array(image, np.uint8), header.width, header.height, header.content_type)


def _small(data: bytes, header: Header, shape: Shape, resize: Resize) -> Image.Image:
    """RGB at `shape` (w, h), not yet upright."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise RuntimeError("Pillow has been told to invent the missing part of damaged photos")
    stripped = bare(data, header.content_type)
    try:
        with _DECODERS[header.content_type](BytesIO(stripped)) as image:
            if image.size != header.stored:
                raise damaged("its headers contradict each other")
            return _decoded(image, shape, stripped, resize)
    except (Rejected, MemoryError):
        raise
    except Exception as error:  # decoders raise SyntaxError, struct.error, KeyError … on damaged files
        raise Rejected(Reason.CORRUPT_IMAGE, "The file is damaged: it cannot be decoded to its end.") from error


def _decoded(image: ImageFile.ImageFile, shape: Shape, data: bytes, resize: Resize) -> Image.Image:
    box = whole(image)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        drafted = image.draft(None, shape)
        box = drafted[1] if drafted else box
    image.load()
    if isinstance(image, PngImagePlugin.PngImageFile) and _may_lack_rows(image):
        check_rows(data)
    return _shrunk(image, shape, box, resize)


def _may_lack_rows(image: PngImagePlugin.PngImageFile) -> bool:
    """Pillow leaves rows that never came at zero and says nothing; an interlaced picture may lack any of its rows."""
    last = image.crop((0, image.height - 1, image.width, image.height))
    return last.getbbox() is None or bool(image.info.get("interlace"))


def _shrunk(image: Image.Image, shape: Shape, box: Box, resize: Resize) -> Image.Image:
    """`resize(flat(image), shape, box)`, pixel for pixel, but never a second full-size picture in memory."""
    across, down = (max(int(side / target / GAP), 1) for side, target in zip(box[2:], shape, strict=True))
    if across == down == 1:
        return resize(_flat(image), shape, box)
    small = Image.new("RGB", (-(-image.width // across), -(-image.height // down)))
    rows = max(_STRIPE // image.width // down, 1) * down
    for top in range(0, image.height, rows):
        stripe = image.crop((0, top, image.width, min(top + rows, image.height)))
        small.paste(_flat(stripe).reduce((across, down)), (0, top // down))
    return resize(small, shape, (0, 0, box[2] / across, box[3] / down))


def _flat(image: Image.Image) -> Image.Image:
    """Any mode → RGB without alpha."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    return image.convert("RGB")


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn: Any = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
