"""Where a photo was taken and what was written into it never leaves with what is made of it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cli.overlay import write_overlay
from inference_container.bare import bare
from inference_container.device import Device
from inference_container.manifest import STARTER
from inference_container.pipeline import Ledger, Pipeline
from inference_container.segmented import Job, Segmented
from inference_container.segmenter import Segmenter
from shared.probe import probe_bytes
from shared.results import OUTPUTS
from tests.pictures import picture, saved

SECRET = "N 52.5163 E 13.3777"
GPS, DESCRIPTION, LATITUDE = 0x8825, 0x010E, 1
TRACES = re.compile(rb"Exif|eXIf|EXIF|ICC_PROFILE|iCCP|ICCP|http://ns\.adobe|XMP|tEXt|iTXt|zTXt")


def told(kind: str) -> bytes:
    """A photo that tells the secret in every way that its format has."""
    exif = Image.Exif()
    exif[DESCRIPTION] = SECRET
    exif.get_ifd(GPS)[LATITUDE] = SECRET
    info = PngInfo()
    info.add_text("Comment", SECRET)
    info.add_itxt("XML:com.adobe.xmp", SECRET)
    said: dict[str, Any] = {"exif": exif, "icc_profile": SECRET.encode()}
    said |= {"pnginfo": info} if kind == "PNG" else {"xmp": SECRET.encode()}
    if kind == "JPEG":
        said["comment"] = SECRET.encode()
    return saved(picture(320, 240), kind, **said) + SECRET.encode()


async def _segmented(data: bytes) -> Segmented:
    pipeline = Pipeline(Segmenter(Device(STARTER, "cpu")), max_batch=1, batch_wait=0.0)
    try:
        return await pipeline.segment(Job(data, tuple(OUTPUTS)), Ledger())
    finally:
        pipeline.close()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nothing_of_it_is_in_what_is_made_of_a_photo(kind: str, tmp_path: Path) -> None:
    data = told(kind)
    assert data.count(SECRET.encode()) >= 4
    assert SECRET.encode() not in bare(data, probe_bytes(data).content_type)
    found = asyncio.run(_segmented(data))
    (tmp_path / "photo").write_bytes(data)
    write_overlay(tmp_path / "photo", found.mask.png, tmp_path / "overlay.jpg")
    made = {"mask": found.mask.png, "overlay": (tmp_path / "overlay.jpg").read_bytes(), **found.outputs}
    assert made.keys() == {"mask", "overlay", *OUTPUTS}
    for name, content in made.items():
        assert SECRET.encode() not in content, name
        assert not TRACES.search(content), name
