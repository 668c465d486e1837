"""What must hold for any bytes whatever, and how bytes come about that nearly are what they should be."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from io import BytesIO

from hypothesis import strategies as st
from PIL import Image

from inference_container.decode import decode
from inference_container.manifest import MANIFEST, STARTER, BundleError, parse
from inference_container.shapes import target_shape
from shared import envelope
from shared.corrections import read_correction
from shared.errors import Malformed, Rejected
from shared.events import SegmentRequested, Uploaded
from shared.limits import check_dimensions
from shared.prediction import Reason
from shared.probe import probe_bytes
from tests.events import EVENTS
from tests.pictures import picture, saved, tagged

SIDE = 64  # px, model size: the less, the more cases
PHOTOS = [
    saved(picture(), "JPEG"),
    saved(picture(mode="CMYK"), "JPEG", progressive=True),
    saved(picture(), "JPEG", restart_marker_blocks=2),
    tagged(6, "JPEG"),
    saved(picture(), "MPO", save_all=True, append_images=[picture(32, 32)]),
    saved(picture(mode="P"), "PNG"),
    saved(picture(mode="RGBA"), "PNG"),
    saved(picture(), "PNG", save_all=True, append_images=[picture().rotate(180)]),
    saved(picture(), "WEBP"),
    saved(picture(mode="RGBA"), "WEBP", lossless=True),
    saved(picture(), "WEBP", save_all=True, append_images=[picture().rotate(180)]),
]
MASK = (6, 4)  # px


@cache
def masks() -> list[bytes]:
    gray = Image.frombytes("L", MASK, bytes([0, 1, 2, 2, 1, 0] * MASK[1]))
    return [saved(gray, "PNG"), saved(gray.convert("P"), "PNG"), saved(gray.convert("P"), "PNG", bits=2)]


@cache
def envelopes() -> list[bytes]:
    return [path.read_bytes() for path in sorted(EVENTS.glob("*.push.json"))]


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    """What an envelope holds, data and attributes damaged."""
    push = envelope.decode(draw(st.sampled_from(envelopes())))
    attributes = dict(push.attributes)
    for key in draw(st.lists(st.sampled_from([*attributes, "other"]), max_size=2)):
        attributes[key] = draw(st.sampled_from(["", "-1", "1", "9" * 5000, "NaN", "é"]) | st.text(max_size=20))
    return draw(damaged([push.data or b"{}"])), attributes


@cache
def manifest() -> bytes:
    return (STARTER / MANIFEST).read_bytes()


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A good file with bits flipped, bytes set, cut out or doubled, its end cut off, or another one's end instead."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 5))):
        if not data:
            break
        at, span = draw(st.integers(0, len(data) - 1)), draw(st.integers(1, 40))
        match draw(st.sampled_from(["flip", "set", "cut", "double", "end", "splice"])):
            case "flip":
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "set":
                data[at : at + span] = draw(st.binary(min_size=1, max_size=8))
            case "cut":
                del data[at : at + span]
            case "double":
                data[at:at] = data[at : at + span]
            case "end":
                del data[at:]
            case "splice":
                other = draw(st.sampled_from(seeds))
                data[at:] = other[draw(st.integers(0, len(other) - 1)) :]
    return bytes(data)


def photo_ends(data: bytes) -> bool:
    """Decoded at the size its header says, or rejected with a reason. True: decoded."""
    try:
        photo = decode(data, SIDE)
    except Rejected as error:
        return not Reason(error.reason)
    header = probe_bytes(data)
    assert (photo.width, photo.height) == (header.width, header.height)
    check_dimensions(photo.width, photo.height)
    assert photo.pixels.shape[1::-1] == target_shape(photo.width, photo.height, SIDE)
    return True


def push_ends(body: bytes) -> None:
    """Read, or malformed."""
    with suppress(Malformed):
        envelope.decode(body)


def message_ends(data: bytes, attributes: dict[str, str]) -> None:
    """Read as one event or the other, or malformed."""
    for event in (Uploaded, SegmentRequested):
        with suppress(Malformed):
            event.from_message(data, attributes)


def mask_ends(data: bytes) -> None:
    """Read as a mask of its photo's size, or malformed."""
    with suppress(Malformed):
        correction = read_correction(data, *MASK, range(256))
        assert Image.open(BytesIO(correction.png)).size == MASK


def manifest_ends(text: bytes) -> None:
    """Read, and then readable again, or refused by name."""
    with suppress(BundleError):
        read = parse(text.decode("utf-8", "replace"))
        assert parse(read.to_json()) == read
        json.loads(read.to_json())
