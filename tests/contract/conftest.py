"""The fixtures of the contract suites: each test runs once for every adapter of `adapters.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.ports import Documents, Objects, Services
from tests.contract.adapters import DOCUMENTS, OBJECTS, QUEUES, SERVICES
from tests.contract.queues import Queue


@pytest.fixture(params=DOCUMENTS)
def documents(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Documents]:
    with DOCUMENTS[request.param](tmp_path) as adapter:
        yield adapter


@pytest.fixture(params=OBJECTS)
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Objects]:
    with OBJECTS[request.param](tmp_path) as adapter:
        yield adapter


@pytest.fixture(params=QUEUES, scope="module")
def queue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """Shared by a module's tests, which know their messages by id: a broker takes a while to start."""
    with QUEUES[request.param](tmp_path_factory.mktemp("queue")) as queue:
        yield queue


@pytest.fixture(params=SERVICES)
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    with SERVICES[request.param](tmp_path) as adapter:
        yield adapter
