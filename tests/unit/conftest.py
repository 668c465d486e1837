"""The `domain` fixture: an empty world of photos over real local stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.domain import World, world


@pytest.fixture
def domain(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made
