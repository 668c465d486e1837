"""The `documents` and `objects` fixtures: each test runs once for every adapter of `adapters.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.ports import Documents, Objects
from tests.contract.adapters import DOCUMENTS, OBJECTS


@pytest.fixture(params=DOCUMENTS)
def documents(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Documents]:
    with DOCUMENTS[request.param](tmp_path) as adapter:
        yield adapter


@pytest.fixture(params=OBJECTS)
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Objects]:
    with OBJECTS[request.param](tmp_path) as adapter:
        yield adapter
