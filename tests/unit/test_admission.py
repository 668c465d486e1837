"""Nobody comes in who could not be served in time; whoever leaves makes room."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from inference_container.admission import PIXELS_PER_PLACE, Admission
from shared.errors import Busy


def test_as_many_as_there_is_room_for() -> None:
    admission = Admission(limit=2, patience=10)
    with admission.entered():
        with admission.entered(), pytest.raises(Busy) as refused, admission.entered():
            pass
        assert refused.value.retry_after >= 1
        with admission.entered():
            assert admission.inside == 2


def test_whoever_fails_leaves_too() -> None:
    admission = Admission(limit=1, patience=10)
    with pytest.raises(ZeroDivisionError), admission.entered():
        raise ZeroDivisionError
    assert admission.inside == 0


def test_who_would_wait_too_long_is_told_how_long() -> None:
    admission = Admission(limit=100, patience=10)
    admission.seconds_per_photo = 4
    with ExitStack() as inside:
        inside.enter_context(admission.entered())
        inside.enter_context(admission.entered())
        with pytest.raises(Busy) as refused:
            inside.enter_context(admission.entered())
        assert refused.value.retry_after == 2  # s until three would fit into ten seconds


def test_an_idle_instance_takes_a_photo_however_slow_it_is() -> None:
    admission = Admission(limit=1, patience=1)
    admission.seconds_per_photo = 60
    with admission.entered():
        assert admission.inside == 1


def test_large_photos_leave_room_for_fewer_others() -> None:
    admission = Admission(limit=4, patience=10)
    with ExitStack() as inside:
        first = inside.enter_context(admission.entered())
        second = inside.enter_context(admission.entered())
        first.weigh(3 * PIXELS_PER_PLACE)
        second.weigh(PIXELS_PER_PLACE)
        with pytest.raises(Busy) as refused, admission.entered():
            pass
        assert refused.value.retry_after >= 1
        second.weigh(PIXELS_PER_PLACE // 2)
        inside.enter_context(admission.entered())
    assert (admission.inside, admission.pixels) == (0, 0)
