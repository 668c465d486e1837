"""What a photo may be: just within the limits is fine, just beyond is refused with its reason."""

from __future__ import annotations

import pytest

from shared.errors import Rejected
from shared.limits import MAX_BYTES, check_dimensions, check_size
from shared.prediction import Reason


@pytest.mark.parametrize("size", [1, MAX_BYTES])
def test_sizes_that_are_fine(size: int) -> None:
    check_size(size)


@pytest.mark.parametrize(
    ("size", "reason"),
    [(0, Reason.CORRUPT_IMAGE), (-1, Reason.CORRUPT_IMAGE), (MAX_BYTES + 1, Reason.TOO_LARGE)],
)
def test_sizes_that_are_not(size: int, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        check_size(size)
    assert refused.value.reason == reason


@pytest.mark.parametrize("shape", [(16, 16), (16, 1600), (1600, 16), (16_384, 164), (10_000, 5_000)])
def test_shapes_that_are_fine(shape: tuple[int, int]) -> None:
    check_dimensions(*shape)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((0, 0), Reason.BAD_DIMENSIONS),
        ((15, 16), Reason.BAD_DIMENSIONS),
        ((16, 15), Reason.BAD_DIMENSIONS),
        ((16_385, 200), Reason.BAD_DIMENSIONS),
        ((16, 1601), Reason.BAD_DIMENSIONS),
        ((1601, 16), Reason.BAD_DIMENSIONS),
        ((10_000, 5_001), Reason.TOO_MANY_PIXELS),
        ((2**31, 2**31), Reason.TOO_MANY_PIXELS),
    ],
)
def test_shapes_that_are_not(shape: tuple[int, int], reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        check_dimensions(*shape)
    assert refused.value.reason == reason
    assert str(shape[0]) in str(refused.value)  # the sentence names what was found
