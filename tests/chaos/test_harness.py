"""The harness itself: faults do what they say on every port, the stores in memory answer as the local adapters do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects
from shared.adapters.local.services import LocalServices
from shared.errors import AlreadyExists, Conflict, MasklineError, Retryable, StorageFull
from shared.ports import Documents, Objects, Share
from tests.chaos.faults import (
    Fault,
    FaultyDocuments,
    FaultyObjects,
    FaultyServices,
    FaultyTopics,
    Killed,
    Plan,
    drawn,
    nth,
)
from tests.chaos.memory import MemoryDocuments, MemoryObjects
from tests.domain import Queue

NOON = datetime(2026, 8, 23, 12, tzinfo=UTC)


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[LocalDocuments]:
    made = LocalDocuments(tmp_path / "documents.db")
    yield made
    made.close()


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[LocalObjects]:
    made = LocalObjects(tmp_path)
    yield made
    made.close()


# -- faults on every port


@pytest.mark.parametrize(
    ("fault", "raises", "written"),
    [
        (Fault.BEFORE, Retryable, False),
        (Fault.AFTER, Retryable, True),
        (Fault.REPEAT, AlreadyExists, True),
        (Fault.FULL, StorageFull, False),
        (Fault.KILL_BEFORE, Killed, False),
        (Fault.KILL_AFTER, Killed, True),
    ],
    ids=lambda value: getattr(value, "value", None),
)
def test_a_write_happens_or_not_and_its_caller_hears_something_else(
    documents: LocalDocuments, objects: LocalObjects, fault: Fault, raises: type[BaseException], written: bool
) -> None:
    store = FaultyDocuments(documents, Plan(nth(1, fault)))
    with pytest.raises(raises):
        store.create("predictions/a", {"n": 1})
    assert (store.get("predictions/a") is not None) == written
    bucket = FaultyObjects(objects, Plan(nth(1, fault)))
    with pytest.raises(raises):
        bucket.put("results", "a", b"mask", "image/png", if_generation_match=0)
    assert bool(bucket.list("results")) == written


@pytest.mark.parametrize(
    ("fault", "messages"), [(Fault.BEFORE, 0), (Fault.AFTER, 1), (Fault.REPEAT, 2)], ids=lambda one: str(one)
)
def test_a_message_gets_lost_or_comes_twice(fault: Fault, messages: int) -> None:
    queue = Queue()
    topics = FaultyTopics(queue, Plan(nth(1, fault)))
    try:
        topics.publish("segment", b"", {})
    except Retryable:
        pass
    assert len(queue.messages) == messages


def test_services_fail_and_a_job_is_never_started_twice(documents: LocalDocuments) -> None:
    real = LocalServices(documents)
    with pytest.raises(Retryable):
        FaultyServices(real, Plan(nth(1, Fault.AFTER))).set_traffic("segment", [Share("b", 100)], "new")
    assert real.traffic("segment").shares == (Share("b", 100),)
    FaultyServices(real, Plan(nth(1, Fault.REPEAT))).start_job("train")
    assert len(documents.query("executions")) == 1


def test_a_lost_race_is_a_conflict_of_compare_and_set_only(documents: LocalDocuments) -> None:
    plan = Plan(lambda name: Fault.LOST_RACE)
    store = FaultyDocuments(documents, plan)
    made = store.create("predictions/a", {"n": 1})
    with pytest.raises(Conflict):
        store.replace("predictions/a", {"n": 2}, made.version)
    assert plan.injected[Fault.LOST_RACE] == 1
    assert plan.called == {"documents.create": 1, "documents.replace": 1}


def test_a_seed_draws_the_same_faults() -> None:
    rates = {Fault.AFTER: 0.3, Fault.SLOW: 0.2}
    one, other = drawn(Random(5), rates), drawn(Random(5), rates)
    seen = [one("x") for _ in range(200)]
    assert seen == [other("x") for _ in range(200)]
    assert set(seen) == {Fault.NONE, Fault.AFTER, Fault.SLOW}


# -- stores in memory


def outcome(call: Callable[[], Any]) -> Any:
    """What is comparable between two stores."""
    try:
        found = call()
    except MasklineError as error:
        return type(error)
    if isinstance(found, list):
        return [getattr(one, "path", getattr(one, "name", None)) for one in found]
    return getattr(found, "data", getattr(found, "size", found))


def document_steps(store: Documents, random: Random) -> Iterator[Any]:
    versions: dict[str, str] = {}
    for number in range(150):
        path = f"predictions/{random.choice('abcdef')}"
        state, at = random.choice(["QUEUED", "RUNNING"]), NOON + timedelta(seconds=random.randrange(9))
        data = {"state": state, "deadline": at, "leaseExpireTime": random.choice([None, at])}
        act, version = random.choice(["create", "replace", "delete", "get", "query", "page"]), random.random() < 0.8
        direction = random.choice(["asc", "desc"])
        seen = store.get(path)
        versions[path] = seen.version if seen and version else versions.get(path, "0")
        calls: dict[str, Callable[[], Any]] = {
            "create": lambda: store.create(path, data),  # noqa: B023 - called at once
            "replace": lambda: store.replace(path, data, versions[path]),  # noqa: B023
            "delete": lambda: store.delete(path),  # noqa: B023
            "get": lambda: store.get(path),  # noqa: B023
            "query": lambda: store.query("predictions", [("state", "==", state), ("leaseExpireTime", "<=", at)]),  # noqa: B023
            "page": lambda: store.query("predictions", [], [("deadline", direction)], 3, [at, "c"]),  # type: ignore[list-item]  # noqa: B023
        }
        yield number, act, outcome(calls[act])


def object_steps(store: Objects, random: Random) -> Iterator[Any]:
    for number in range(150):
        name, match = random.choice("abc"), random.choice([None, 0, 7])
        data = bytes(random.randrange(20))
        calls: dict[str, Callable[[], Any]] = {
            "put": lambda: store.put("uploads", name, data, "image/png", match),  # noqa: B023
            "get": lambda: store.get("uploads", name, None, (2, 5)),  # noqa: B023
            "stat": lambda: store.stat("uploads", name, match or None),  # noqa: B023
            "delete": lambda: store.delete("uploads", name),  # noqa: B023
            "list": lambda: store.list("uploads", "", random.choice(["", "a"]), 2),
        }
        act = random.choice(list(calls))
        yield number, act, outcome(calls[act])


@pytest.mark.parametrize("seed", range(3))
def test_documents_in_memory_answer_as_the_local_ones(documents: LocalDocuments, seed: int) -> None:
    memory = MemoryDocuments(lambda: NOON)
    steps = zip(document_steps(memory, Random(seed)), document_steps(documents, Random(seed)), strict=True)
    for mine, theirs in steps:
        assert mine == theirs


@pytest.mark.parametrize("seed", range(3))
def test_objects_in_memory_answer_as_the_local_ones(objects: LocalObjects, seed: int) -> None:
    memory = MemoryObjects(lambda: NOON)
    for mine, theirs in zip(object_steps(memory, Random(seed)), object_steps(objects, Random(seed)), strict=True):
        assert mine == theirs
