"""What a sweep costs in the cloud, in what is billed there: documents read (an empty query counts as one), documents
written, and listings of a bucket. docs/architecture/05-google-adapters.md has the price of a day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared import tidy
from shared.ports import Data, Document
from tests.domain import World

PAGE = 10
IDLE = 8  # reads: six questions about predictions, two cursors


@dataclass
class Bill:
    """Wraps a world's documents and objects, and notes what is asked of them."""

    documents: Any
    reads: int = 0
    writes: int = 0
    listings: list[int] = field(default_factory=list)  # how many objects each one gave

    def get(self, path: str) -> Document | None:
        self.reads += 1
        found: Document | None = self.documents.get(path)
        return found

    def query(self, *asked: Any, **more: Any) -> list[Document]:
        rows: list[Document] = self.documents.query(*asked, **more)
        self.reads += max(1, len(rows))
        return rows

    def create(self, path: str, data: Data) -> Document:
        self.writes += 1
        made: Document = self.documents.create(path, data)
        return made

    def replace(self, path: str, data: Data, version: str) -> Document:
        self.writes += 1
        made: Document = self.documents.replace(path, data, version)
        return made

    def together(self) -> AbstractContextManager[object]:
        block: AbstractContextManager[object] = self.documents.together()
        return block

    def close(self) -> None:
        self.documents.close()

    def tick(self, domain: World) -> tuple[int, int, list[int]]:
        """One sweep: reads, writes, listings."""
        self.reads, self.writes, self.listings = 0, 0, []
        domain.sweep()
        return self.reads, self.writes, self.listings


@pytest.fixture
def bill(domain: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bill]:
    bill = Bill(domain.documents.documents)
    listed = domain.objects.list

    def counted(*asked: Any) -> Any:
        found = listed(*asked)
        bill.listings.append(len(found))
        return found

    monkeypatch.setattr(tidy, "PAGE", PAGE)
    monkeypatch.setattr(domain.objects, "list", counted)
    domain.documents.documents = bill  # type: ignore[assignment]
    yield bill
    domain.documents.documents = bill.documents


def finished(domain: World, count: int) -> None:
    for number in range(count):
        domain.worker(domain.queued(f"users/ana/{number:03d}.png")).finish()
    domain.wait(3 * domain.settings.lease_seconds)


def test_an_idle_sweep_reads_eight_documents_and_writes_none(domain: World, bill: Bill) -> None:
    domain.sweep()  # the first one makes the cursors
    assert bill.tick(domain) == (IDLE, 0, [0, 0])


def test_a_sweep_looks_at_one_page_of_each_bucket_however_many_photos_are_kept(domain: World, bill: Bill) -> None:
    finished(domain, 25)
    for size in (PAGE, PAGE, 5, PAGE):  # and begins again
        reads, writes, listings = bill.tick(domain)
        assert listings == [size, size]
        assert reads == IDLE + 2 * size  # one record for each photo, one for each mask
        assert writes == 2  # the cursors
