"""S16: corrected masks that are none, against a photo of 320 x 240 px whose model knows the classes 0 to 2."""

from __future__ import annotations

import asyncio
import struct
import uuid
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.integration.apis import Backend, announce, caller

SIZE = (320, 240)


def png(mode: str = "L", size: tuple[int, int] = SIZE, fill: Any = 1, **save: Any) -> bytes:
    out = BytesIO()
    image = Image.new(mode, size, fill)
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(out, save.pop("format", "PNG"), **save)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int = 8, colour: int = 0, *rest: bytes) -> bytes:
    ihdr = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + b"".join(rest) + chunk(b"IEND", b"")


def inflating() -> bytes:
    """240 rows are promised; what unpacks is a thousand times as much, and a thousandth of that on the wire."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(75)) + packer.flush()
    return header(*SIZE, 8, 0, chunk(b"IDAT", packed))


def texts() -> bytes:
    packed = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 20)))
    return header(*SIZE, 8, 0, *[packed] * 200)


REFUSED: dict[str, Callable[[], bytes]] = {
    "one column less": lambda: png(size=(319, 240)),
    "not turned": lambda: png(size=(240, 320)),
    "a class that the model does not have": lambda: png(fill=7),
    "255, which is no class": lambda: png(fill=255),
    "colours": lambda: png("RGB", fill=(1, 1, 1)),
    "colours and transparency": lambda: png("RGBA", fill=(1, 1, 1, 255)),
    "sixteen bits": lambda: png("I;16"),
    "a JPEG": lambda: png(format="JPEG"),
    "a GIF": lambda: png(format="GIF"),
    "50,000 x 50,000 in one bit": lambda: header(50_000, 50_000, 1, 0, chunk(b"IDAT", zlib.compress(bytes(1000)))),
    "no pixels at all": lambda: header(0, 0),
    "sizes beyond 31 bits": lambda: header(2**31, 240),
    "a header and nothing": lambda: header(*SIZE),
    "cut off": lambda: png()[:-30],
    "two headers": lambda: header(*SIZE, 8, 0, chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 0))),
    "two hundred packed texts and no picture": texts,
    "another format by its name": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "nothing": lambda: b"",
    "more than a mebibyte": lambda: png() + bytes(1 << 20),
}
TAKEN: dict[str, Callable[[], bytes]] = {
    "grey": png,
    "all zero": lambda: png(fill=0),
    "a palette: the index is the class": lambda: png("P", fill=2),
    "a packed bomb behind the picture, which nobody unpacks": inflating,
}


@pytest.mark.parametrize("name", [*REFUSED, *TAKEN])
def test_a_mask_is_one_of_this_photo_or_it_is_refused(stack: Backend, name: str) -> None:
    async def steps() -> None:
        async with caller(stack, "alice") as alice:
            made = (await announce(alice))["id"]
            stack.succeed(made, SIZE)
            path = f"/v1/predictions/{made}/feedback/{uuid.uuid4()}"
            mask = (REFUSED | TAKEN)[name]()
            answer = await alice.put(path, content=mask, headers={"content-type": "image/png"})
            stored = stack.objects.list("results", f"feedback/{made}/")
            if name in TAKEN:
                assert answer.status_code == 201, answer.text
                kept = Image.open(BytesIO(stack.objects.get("results", stored[0].name)))
                assert (kept.size, stored[0].size < 10_000) == (SIZE, True)
            else:
                assert answer.status_code in (400, 413), answer.text
                assert stored == []
                assert stack.documents.query(f"predictions/{made}/feedback") == []

    if stack.documents.get("models/starter") is None:
        classes = [{"id": number, "name": str(number)} for number in range(3)]
        stack.documents.create("models/starter", {"version": "1", "classes": classes})
    asyncio.run(steps())
