"""A batch from files to masks: every photo gets its own answer, whatever is wrong with its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_double

import numpy as np
import pytest

from inference_container.cells import ClassMap
from inference_container.decode import Photo
from inference_container.faults import DeviceBroken, NotFinite, OutOfMemory
from inference_container.manifest import STARTER, read_manifest
from inference_container.segmented import Answer, Job, Segmented
from inference_container.segmenter import ANY, Pixels, Segmenter
from shared.errors import MasklineError, Rejected
from tests.pictures import picture, saved

GOOD = [saved(picture(120 + 10 * at, 90), "JPEG") for at in range(6)]


class Device:
    """Answers with the photo's own pixels, so that a mask of another photo would show."""

    manifest = read_manifest(STARTER)

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fits = 100
        self.error: Exception | None = None
        self.nan = -1

    def segment(self, photos: Sequence[Pixels]) -> list[ClassMap | None]:
        self.batches.append(len(photos))
        if self.error:
            raise self.error
        if len(photos) > self.fits:
            raise OutOfMemory("too many")
        maps: list[ClassMap | None] = [(one.sum(2, dtype=int) % 4).astype(np.uint8) for one in photos]
        return [None if at == self.nan else one for at, one in enumerate(maps)]


def alike(count: int) -> list[Job]:
    return [Job(saved(picture(120, 90), "JPEG", quality=60 + at)) for at in range(count)]


def alone(jobs: Sequence[Job]) -> list[bytes]:
    return [mask(Segmenter(Device()).run([job])[0]) for job in jobs]


def mask(answer: Answer) -> bytes:
    assert isinstance(answer, Segmented)
    return answer.mask.png


def test_a_batch_has_the_masks_that_its_photos_have_alone_in_their_order() -> None:
    device, jobs = Device(), [Job(data) for data in GOOD]
    found = Segmenter(device).run(jobs)
    assert [mask(one) for one in found] == alone(jobs)
    assert sum(device.batches) == len(jobs)
    assert all(isinstance(one, Segmented) and set(one.seconds) == {"decode", "forward", "encode"} for one in found)


def test_photos_of_one_shape_run_together_and_others_after_them() -> None:
    device = Device()
    upright = Job(saved(picture(90, 120), "JPEG"))
    lying = alike(2)
    found = Segmenter(device).run([lying[0], upright, lying[1]])
    assert device.batches == [2, 1]
    assert [mask(one) for one in found] == alone([lying[0], upright, lying[1]])


def test_a_photo_that_cannot_be_decoded_leaves_its_neighbours_alone() -> None:
    jobs = alike(3)
    found = Segmenter(Device()).run([jobs[0], Job(b"no photo"), jobs[1], Job(GOOD[0][:300]), jobs[2]])
    assert [isinstance(one, Rejected) for one in found] == [False, True, False, True, False]
    assert [mask(found[at]) for at in (0, 2, 4)] == alone(jobs)


def test_an_answer_that_is_not_finite_harms_only_its_photo() -> None:
    device = Device()
    device.nan = 1
    found = Segmenter(device).run(alike(3))
    assert [isinstance(one, NotFinite) for one in found] == [False, True, False]


def test_a_batch_that_does_not_fit_is_halved_and_none_grows_so_large_again_in_any_worker() -> None:
    fits = c_double(ANY)  # of all workers
    first, second, jobs = Device(), Device(), alike(8)
    first.fits = second.fits = 2
    for device in (first, second):
        assert [mask(one) for one in Segmenter(device, fits=fits).run(jobs)] == alone(jobs)
    assert first.batches == [8, 4, 2, 2, 4, 2, 2]
    assert second.batches == [2, 2, 2, 2]


def test_a_photo_that_does_not_fit_alone_says_so() -> None:
    device = Device()
    device.fits = 0
    (found,) = Segmenter(device).run(alike(1))
    assert isinstance(found, OutOfMemory)


@pytest.mark.parametrize("error", [DeviceBroken("the device failed"), ValueError("secret")])
def test_a_device_that_fails_fails_its_whole_batch_in_our_words(error: Exception) -> None:
    device = Device()
    device.error = error
    found = Segmenter(device).run(alike(2))
    assert [type(one) for one in found] == [type(error) if isinstance(error, MasklineError) else MasklineError] * 2
    assert "secret" not in str(found[0])


def test_a_decoder_without_memory_is_not_the_files_fault() -> None:
    def decode(data: bytes, side: int) -> Photo:
        raise MemoryError

    (found,) = Segmenter(Device(), decode).run(alike(1))
    assert isinstance(found, OutOfMemory)
