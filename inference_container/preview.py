"""A small picture of the result: the photo as the network saw it, half covered by the colours of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from PIL import Image

from inference_container.cells import ClassMap
from inference_container.decode import Photo
from inference_container.manifest import ClassInfo

_LONG_SIDE = 512  # px at most
_COVER = 0.5
_QUALITY = 85


def preview(photo: Photo, classes: ClassMap, colours: Sequence[ClassInfo]) -> bytes:
    """A JPEG in the photo's proportions, never larger than the photo. The background stays as it is."""
    size = _size(photo)
    seen = Image.fromarray(photo.pixels).resize(size, Image.Resampling.BILINEAR)
    cover(seen, Image.fromarray(classes).resize(size, Image.Resampling.NEAREST), colours)
    out = BytesIO()
    seen.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def cover(picture: Image.Image, ids: Image.Image, colours: Sequence[ClassInfo]) -> None:
    """Lay the colours of `ids` (mode L, of the same size) half over `picture`; what is background stays as it is."""
    strength = ids.point([round(255 * _COVER) * (class_id > 0) for class_id in range(256)])
    ids.putpalette(b"".join(one.rgb for one in colours))
    picture.paste(ids.convert("RGB"), mask=strength)


def _size(photo: Photo) -> tuple[int, int]:
    long = max(photo.width, photo.height)
    shrink = min(_LONG_SIDE, long) / long
    return max(1, round(photo.width * shrink)), max(1, round(photo.height * shrink))
