"""One API over real local stores for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.apis import Backend, backend


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    made = backend(tmp_path_factory.mktemp("data"))
    yield made
    made.documents.close()
    made.objects.close()
