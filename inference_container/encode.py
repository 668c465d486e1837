"""From a class map to the mask: an indexed PNG at the photo's size, its pixels class ids, its palette the colours.

Made by hand, because a mask's rows repeat: each row of the map is packed once, and with PNG's filter Up a repeated row
is a row of zeros. Pillow would paint, filter and compress every pixel, which took 3 to 5 times as long.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from inference_container.cells import Cells, ClassMap, described
from inference_container.manifest import ClassInfo
from inference_container.segmented import Encoded

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED = 3  # colour type
_UP = b"\x02"  # filter type: the difference to the row above


def encode(cells: Cells, classes: Sequence[ClassInfo]) -> Encoded:
    data = png(cells, classes)
    return Encoded(data, hashlib.sha256(data).hexdigest(), described(cells, classes))


def png(cells: Cells, classes: Sequence[ClassInfo]) -> bytes:
    bits = next(depth for depth in (1, 2, 4, 8) if len(classes) <= 1 << depth)
    size = cells.width.to_bytes(4, "big") + cells.height.to_bytes(4, "big")
    palette = b"".join(one.rgb for one in classes)
    header = size + bytes([bits, _INDEXED, 0, 0, 0])
    # Run lengths alone: as fast as level 1's search for repetitions, and less than half its size on masks.
    deflate = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    pixels = [deflate.compress(rows) for rows in _rows(cells, bits)]
    body = b"".join([*pixels, deflate.flush()])
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", body), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _rows(cells: Cells, bits: int) -> Iterator[bytes]:
    """The filtered rows of the photo, as many at a time as one row of cells covers."""
    columns = np.repeat(np.arange(cells.ids.shape[1]), np.diff(cells.xs))
    packed = _packed(cells.ids[:, columns], bits)
    changes = np.diff(packed, axis=0, prepend=np.zeros_like(packed[:1]))  # uint8 wraps, as the filter wants it
    repeated = _UP + bytes(packed.shape[1])
    for change, height in zip(changes, np.diff(cells.ys).tolist(), strict=True):
        yield _UP + change.tobytes() + repeated * (height - 1)


def _packed(ids: ClassMap, bits: int) -> ClassMap:
    """Rows of `bits` per pixel, the leftmost in the highest bits, filled up to whole bytes.

    The pixels of a byte are the bytes of one integer, and one multiplication gathers them in its highest byte: there
    each meets the power of two that shifts it to its place; the products below never carry so far.
    """
    per_byte = 8 // bits
    filled = np.zeros((len(ids), -(-ids.shape[1] // per_byte) * per_byte), np.uint8)
    filled[:, : ids.shape[1]] = ids
    together = filled.view(f"<u{per_byte}")
    gather = together.dtype.type(sum(1 << (8 + bits) * place for place in range(per_byte)))
    packed: ClassMap = (together * gather >> together.dtype.type(8 * (per_byte - 1))).astype(np.uint8)
    return packed


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
