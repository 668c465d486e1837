"""Every kind of hostile file ends as expected: in a photo of its size or with a reason; and it harms nobody else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from inference_container.decode import decode
from inference_container.manifest import STARTER, read_manifest
from inference_container.pipeline import Ledger, Pipeline
from inference_container.segmented import Job, Segmented
from inference_container.segmenter import Segmenter
from shared.errors import Rejected
from shared.prediction import Reason
from shared.probe import probe_bytes
from tests.hostile.corpus import KINDS, LIGHT, MEASURABLE, forget_peak, peak, resident
from tests.hostile.kinds import Kind, Size
from tests.pictures import picture, saved

INPUT_SIZE = 224
MOST_MEMORY = 64  # MiB that any light kind may take while it is decoded
BY_THE_HEADER = {Reason.UNSUPPORTED_MEDIA, Reason.TOO_LARGE, Reason.TOO_MANY_PIXELS, Reason.BAD_DIMENSIONS}
Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def outcome(data: bytes) -> Size | Reason:
    try:
        photo = decode(data, INPUT_SIZE)
    except Rejected as error:
        sentence = str(error)
        assert sentence.endswith(".")
        assert len(sentence) < 200
        assert not any(word in sentence for word in ("/", "Error", "0x", "None"))
        return Reason(error.reason)
    assert photo.pixels.size <= 3 * 2 * INPUT_SIZE**2
    return photo.width, photo.height


@pytest.mark.parametrize("kind", LIGHT, ids=lambda kind: kind.name)
def test_it_ends_as_expected_in_little_memory(kind: Kind) -> None:
    data = kind.make()
    if MEASURABLE:
        forget_peak()
        before = resident()
    assert outcome(data) == kind.expected
    if MEASURABLE:
        assert peak() - before <= MOST_MEMORY
    if kind.expected in BY_THE_HEADER:
        with pytest.raises(Rejected):  # before any decoder has seen it
            probe_bytes(data)


def test_there_are_many_kinds_and_no_two_are_the_same() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 250
    reasons = Counter(kind.expected for kind in KINDS if isinstance(kind.expected, Reason))
    assert reasons.keys() == BY_THE_HEADER | {Reason.TOO_COMPLEX, Reason.CORRUPT_IMAGE}


class Echo:
    """A device whose answer is made of the photo's own pixels, so that a mask of another photo would show."""

    manifest = read_manifest(STARTER)

    def segment(self, photos: Sequence[Pixels]) -> list[Pixels | None]:
        classes = len(self.manifest.classes)
        return [(one[::4, ::4].sum(2, dtype=int) % classes).astype(np.uint8) for one in photos]


@pytest.fixture(name="pipeline")
def echoing() -> Iterator[Pipeline]:
    pipeline = Pipeline(Segmenter(Echo()), max_batch=8, batch_wait=0.01)
    yield pipeline
    pipeline.close()


def test_hostile_files_in_a_batch_harm_nobody_else(pipeline: Pipeline) -> None:
    good = [saved(picture(120 + at, 90), ("JPEG", "PNG", "WEBP")[at % 3]) for at in range(9)]
    bad = [kind for kind in LIGHT if isinstance(kind.expected, Reason)]

    async def together() -> tuple[list[bytes], list[tuple[int, Segmented | BaseException]]]:
        alone = [(await pipeline.segment(Job(one), Ledger())).mask.png for one in good]
        mixed: list[tuple[int, Segmented | BaseException]] = []
        for start in range(0, len(bad), 8):
            files = [file for at, kind in enumerate(bad[start : start + 8]) for file in (good[at], kind.make())]
            answers = await asyncio.gather(
                *(pipeline.segment(Job(one), Ledger()) for one in files), return_exceptions=True
            )
            mixed += [(at // 2 if at % 2 == 0 else -1, answer) for at, answer in enumerate(answers)]
        return alone, mixed

    alone, mixed = asyncio.run(together())
    refused = [answer for at, answer in mixed if at < 0]
    assert [Reason(one.reason) for one in refused if isinstance(one, Rejected)] == [kind.expected for kind in bad]
    for at, answer in mixed:
        if at >= 0:
            assert isinstance(answer, Segmented)
            assert answer.mask.png == alone[at]
