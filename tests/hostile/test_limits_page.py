"""The page about limits says what the code does: every example on it is what somebody really gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inference_container import decoder, manifest, sandbox
from inference_container.decode import decode
from shared import limits
from shared.errors import Rejected
from tests.hostile.corpus import KINDS

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/limits.md").read_text("utf-8")
ROW = re.compile(r"^\| (.+?) \| `([A-Z_]+)` \| (.+?) \|$", re.M)
EXAMPLES = {  # limit on the page → kind of file that breaks it
    "JPEG (MPO too), PNG or WebP": "file gif",
    "JPEG: baseline or progressive": "jpeg lossless",
    "JPEG: 8 bits per sample": "jpeg of 12 bits",
    "JPEG: 1, 3 or 4 components": "jpeg of 2 components",
    "20 MiB": "file zeros of 21 MiB",
    "50,000,000 px": "jpeg that claims 88 megapixels",
    "each side 16 to 16384 px": "png of 15 by 100",
    "long side at most 100 times the short one": "png of 101 to 1",
    "JPEG: 100 scans": "jpeg of 101 scans",
    "JPEG: 1,000 segments": "jpeg with 250000 comments",
    "PNG: 10,000 chunks": "png with 80000 texts",
    "WebP: 10,000 chunks": "webp with chunks after its picture",
    "something in it": "file empty",
    "whole": "jpeg cut by one byte",
    "sound headers": "jpeg with two frames",
    "all its rows": "png with half its rows",
    "all its scans": "jpeg progressive cut at 10 and closed",
    "decodes to its end": "webp of noise",
}
PHOTOS, PROCESSES = PAGE.split("## Decoders")[0], PAGE.split("## Decoders")[1]


@pytest.mark.parametrize(("limit", "reason", "message"), ROW.findall(PHOTOS))
def test_every_sentence_on_the_page_is_what_somebody_gets(limit: str, reason: str, message: str) -> None:
    [kind] = [kind for kind in KINDS if kind.name == EXAMPLES[limit]]
    with pytest.raises(Rejected) as refused:
        decode(kind.make(), 224)
    assert (refused.value.reason, str(refused.value)) == (reason, message)


def test_no_limit_is_missing_from_the_page() -> None:
    assert {limit for limit, *_ in ROW.findall(PHOTOS)} == EXAMPLES.keys()
    assert [message for *_, message in ROW.findall(PROCESSES)] == [
        sandbox._TOO_LONG,
        decoder._TOO_MUCH,
        sandbox._CRASHES,
    ]


def test_every_number_on_the_page_is_the_codes() -> None:
    numbers = {
        f"{limits.MAX_BYTES >> 20} MiB",
        f"{limits.MAX_PIXELS:,} px",
        f"{limits.MIN_SIDE} to {limits.MAX_SIDE} px",
        f"{limits.MAX_ASPECT} times",
        f"{limits.MAX_SCANS} scans",
        f"{limits.MAX_SEGMENTS:,} segments",
        f"{limits.MAX_CHUNKS:,} chunks",
        f"At most {limits.MAX_MASK_BYTES >> 20} MiB",
        f"{decoder.CPU_SECONDS} s of CPU",
        f"{decoder.MEMORY >> 30} GiB",
        f"{sandbox.RECYCLED_AFTER} photos",
        f"{manifest.MAX_MANIFEST >> 20} MiB",
        f"{manifest.MAX_WEIGHTS >> 20} MiB",
        f"{manifest.MAX_HEADER >> 20} MiB",
    }
    assert {number for number in numbers if number not in PAGE} == set()
