"""A stand-in for a project on Google Cloud, as new for every test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.fake_google import Google


@pytest.fixture(scope="module")
def shared_google() -> Iterator[Google]:
    from tests.integration import fake_google  # gRPC: only where it is asked for

    with fake_google.serving() as google:
        yield google


@pytest.fixture
def google(shared_google: Google) -> Google:
    shared_google.reset()
    return shared_google
