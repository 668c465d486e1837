"""Any bytes whatever are read or refused: nothing else is ever raised. `make chaos` tries more of them."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile import fuzz

SOME = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@SOME
@given(fuzz.damaged(fuzz.PHOTOS))
def test_damaged_photos(data: bytes) -> None:
    fuzz.photo_ends(data)


@SOME
@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8 "]), st.binary(max_size=300))
def test_noise_after_the_first_bytes_of_a_photo(head: bytes, tail: bytes) -> None:
    assert not fuzz.photo_ends(head + tail)


@SOME
@given(fuzz.damaged(fuzz.envelopes()))
def test_damaged_envelopes(body: bytes) -> None:
    fuzz.push_ends(body)


@SOME
@given(fuzz.messages())
def test_damaged_messages(message: tuple[bytes, dict[str, str]]) -> None:
    fuzz.message_ends(*message)


@SOME
@given(fuzz.damaged(fuzz.masks()))
def test_damaged_masks(data: bytes) -> None:
    fuzz.mask_ends(data)


@SOME
@given(fuzz.damaged([fuzz.manifest()]))
def test_damaged_manifests(text: bytes) -> None:
    fuzz.manifest_ends(text)
