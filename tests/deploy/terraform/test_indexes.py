"""Every query that the stages make has its index: without one Firestore refuses it, and no emulator says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.local.documents import LocalDocuments
from tests.deploy.terraform.checks import indexes
from tests.deploy.terraform.offline import Resource
from tests.domain import world
from tests.integration.apis import announce, backend, caller

Query = tuple[str, frozenset[str], tuple[str, ...]]  # collection, fields that are compared with ==, the order
_EQUALITIES = {"==", "in"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[Query]:
    """What is asked of any store while the test runs."""
    seen: set[Query] = set()
    answer = LocalDocuments.query

    def listening(
        store: LocalDocuments,
        collection: str,
        where: Sequence[Any] = (),
        order_by: Sequence[Any] = (),
        *rest: Any,
        **more: Any,
    ) -> Any:
        equal = frozenset(field for field, operator, _ in where if operator in _EQUALITIES)
        ordered = [f"{'-' * (way == 'desc')}{field}" for field, way in order_by]
        compared = {field for field, operator, _ in where if operator not in _EQUALITIES}
        ordered += sorted(compared - {field.removeprefix("-") for field in ordered})
        seen.add((collection.rsplit("/", 1)[-1], equal, tuple(ordered)))
        return answer(store, collection, where, order_by, *rest, **more)

    monkeypatch.setattr(LocalDocuments, "query", listening)
    return seen


def test_what_the_stages_ask_for_is_indexed(asked: set[Query], product: list[Resource], tmp_path: Path) -> None:
    with world(tmp_path / "stages", cache=True) as stages:
        stages.queued()
        stages.sweep(queue_lost=True)
    asyncio.run(_every_listing(tmp_path / "api"))
    assert ("predictions", frozenset({"ownerUid", "deleted", "state"}), ("-createTime",)) in asked
    assert [query for query in sorted(asked, key=str) if not _served(query, indexes(product))] == []


def test_what_may_be_listed_from_outside_is_known_to_be_missing_without_an_index() -> None:
    query = ("predictions", frozenset({"ownerUid", "deleted"}), ("-createTime",))
    assert not _served(query, {("predictions", "ownerUid", "createTime")})
    assert _served(query, {("predictions", "deleted", "ownerUid", "-createTime")})


async def _every_listing(folder: Path) -> None:
    stack = backend(folder)
    try:
        async with caller(stack, "ana") as ana:
            await announce(ana)
            for path in ("/v1/predictions", "/v1/predictions?state=QUEUED", "/v1/models"):
                assert (await ana.get(path)).status_code == 200
            assert (await ana.delete("/v1/me")).status_code == 204
    finally:
        stack.documents.close()
        stack.objects.close()


def _served(query: Query, made: set[tuple[str, ...]]) -> bool:
    """Firestore indexes each field by itself, and merges these for equalities; an order among them needs its own."""
    collection, equal, ordered = query
    if len(ordered) + bool(equal) <= 1:
        return True
    fields = len(equal)
    return any(
        index[0] == collection and set(index[1 : fields + 1]) == equal and index[fields + 1 :] == ordered
        for index in made
    )
