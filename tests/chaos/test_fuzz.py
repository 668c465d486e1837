"""The properties of `tests/hostile/fuzz.py` over many more cases, and every possible place of some kinds of damage.

`MASKLINE_CHAOS_EXAMPLES`: cases per property.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings

from tests.hostile import fuzz

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7200)]
MANY = settings(
    derandomize=False,
    deadline=None,
    max_examples=int(os.environ.get("MASKLINE_CHAOS_EXAMPLES", "5000")),
    suppress_health_check=list(HealthCheck),
)
PNG_END = 12  # bytes of the last chunk
LOOKAHEAD = 18  # bytes at the end of a JPEG that may be missing unnoticed: a few blocks of its last corner


@pytest.mark.parametrize("number", range(len(fuzz.PHOTOS)))
def test_a_photo_cut_at_every_byte_is_never_taken_for_whole(number: int) -> None:
    data = fuzz.PHOTOS[number]
    whole = [stop for stop in range(len(data)) if fuzz.photo_ends(data[:stop])]
    of_several = number in (4, 7, 10)  # what follows their first picture is not needed
    assert of_several or not whole, whole


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_jpeg_cut_at_every_byte_and_closed_again_is_never_taken_for_whole(number: int) -> None:
    data = fuzz.PHOTOS[number]
    whole = [stop for stop in range(len(data) - 2) if fuzz.photo_ends(data[:stop] + b"\xff\xd9")]
    assert [stop for stop in whole if stop < len(data) - LOOKAHEAD] == []


@pytest.mark.parametrize("number", range(len(fuzz.PHOTOS)))
def test_every_bit_may_be_flipped(number: int) -> None:
    data = bytearray(fuzz.PHOTOS[number])
    for at in range(len(data)):
        for bit in range(8):
            data[at] ^= 1 << bit
            fuzz.photo_ends(bytes(data))
            data[at] ^= 1 << bit


@MANY
@given(fuzz.damaged(fuzz.PHOTOS))
def test_damaged_photos(data: bytes) -> None:
    fuzz.photo_ends(data)


@MANY
@given(fuzz.damaged(fuzz.envelopes()))
def test_damaged_envelopes(body: bytes) -> None:
    fuzz.push_ends(body)


@MANY
@given(fuzz.messages())
def test_damaged_messages(message: tuple[bytes, dict[str, str]]) -> None:
    fuzz.message_ends(*message)


@MANY
@given(fuzz.damaged(fuzz.masks()))
def test_damaged_masks(data: bytes) -> None:
    fuzz.mask_ends(data)


@MANY
@given(fuzz.damaged([fuzz.manifest()]))
def test_damaged_manifests(text: bytes) -> None:
    fuzz.manifest_ends(text)
