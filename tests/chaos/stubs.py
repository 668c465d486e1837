"""A stack whose instances run a stub device, and photos that it knows by their colour."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from unittest import mock

from PIL import Image

from tests.e2e.stacks import QUICK, Stack, stack

FOLDER = Path(__file__).parent / "stub"
KILLER, NOT_FINITE, STICKY = (250, 0, 0), (0, 250, 0), (0, 0, 250)


def coloured(colour: tuple[int, int, int], number: int = 0) -> bytes:
    """A photo of one colour; no two numbers have the same bytes."""
    out = BytesIO()
    Image.new("RGB", (96, 64), colour).save(out, "PNG")
    return out.getvalue() + f"photo {number}".encode()


def numbered(number: int) -> bytes:
    """A photo of some harmless colour."""
    return coloured((number * 7 % 200, 120, 120), number)


@contextmanager
def stub_stack(data: Path, stub: dict[str, str] | None = None, **settings: str) -> Iterator[Stack]:
    """`stub`: the device's own variables."""
    environment = mock.patch.dict(os.environ, {"PYTHONPATH": str(FOLDER), **(stub or {})})
    with environment, stack(data, **(QUICK | {"MASKLINE_CACHE": "off"} | settings)) as running:
        yield running
