"""What every `Documents` adapter promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import AlreadyExists, Conflict, Malformed
from shared.ids import new_prediction_id
from shared.ports import Document, Documents

NOON = datetime(2026, 8, 23, 12, 0, 0, 123456, tzinfo=UTC)


def names(found: list[Document]) -> list[str]:
    return [document.id for document in found]


def test_what_was_created_is_read_back(documents: Documents) -> None:
    created = documents.create("predictions/a", {"state": "QUEUED", "deadline": NOON, "input": {"width": 3}})
    found = documents.get("predictions/a")
    assert found is not None
    assert found.data == {"state": "QUEUED", "deadline": NOON, "input": {"width": 3}}
    assert (found.path, found.id, found.version) == ("predictions/a", "a", created.version)
    assert found.create_time == found.update_time <= found.read_time
    assert found.create_time.tzinfo is not None


def test_what_does_not_exist_is_none(documents: Documents) -> None:
    assert documents.get("predictions/none") is None


def test_creating_twice_fails_and_keeps_the_first(documents: Documents) -> None:
    documents.create("predictions/a", {"n": 1})
    with pytest.raises(AlreadyExists):
        documents.create("predictions/a", {"n": 2})
    assert documents.get("predictions/a").data == {"n": 1}  # type: ignore[union-attr]


def test_of_sixteen_racing_creators_one_wins(documents: Documents) -> None:
    def attempt(n: int) -> int | None:
        try:
            documents.create("predictions/race", {"n": n})
        except AlreadyExists:
            return None
        return n

    with ThreadPoolExecutor(16) as pool:
        winners = [n for n in pool.map(attempt, range(16)) if n is not None]
    assert len(winners) == 1
    assert documents.get("predictions/race").data == {"n": winners[0]}  # type: ignore[union-attr]


def test_replacing_changes_the_version_and_the_whole_document(documents: Documents) -> None:
    first = documents.create("predictions/a", {"n": 1, "old": True})
    second = documents.replace("predictions/a", {"n": 2}, first.version)
    assert second.version != first.version
    assert second.create_time == first.create_time
    assert second.update_time >= first.update_time
    assert documents.get("predictions/a").data == {"n": 2}  # type: ignore[union-attr]


def test_replacing_with_equal_data_still_changes_the_version(documents: Documents) -> None:
    first = documents.create("predictions/a", {"n": 1})
    second = documents.replace("predictions/a", {"n": 1}, first.version)
    with pytest.raises(Conflict):
        documents.replace("predictions/a", {"n": 1}, first.version)
    assert documents.get("predictions/a").version == second.version  # type: ignore[union-attr]


def test_a_stale_version_replaces_nothing(documents: Documents) -> None:
    first = documents.create("predictions/a", {"n": 1})
    documents.replace("predictions/a", {"n": 2}, first.version)
    with pytest.raises(Conflict):
        documents.replace("predictions/a", {"n": 3}, first.version)
    assert documents.get("predictions/a").data == {"n": 2}  # type: ignore[union-attr]


def test_a_version_does_not_survive_delete_and_create(documents: Documents) -> None:
    first = documents.create("predictions/a", {"n": 1})
    documents.delete("predictions/a")
    documents.create("predictions/a", {"n": 1})
    with pytest.raises(Conflict):
        documents.replace("predictions/a", {"n": 2}, first.version)


def test_replacing_what_is_gone_conflicts(documents: Documents) -> None:
    first = documents.create("predictions/a", {"n": 1})
    documents.delete("predictions/a")
    with pytest.raises(Conflict):
        documents.replace("predictions/a", {"n": 2}, first.version)


def test_compare_and_set_loses_no_update(documents: Documents) -> None:
    documents.create("counters/c", {"n": 0})

    def add(_: int) -> None:
        while True:
            found = documents.get("counters/c")
            assert found is not None
            try:
                documents.replace("counters/c", {"n": found.data["n"] + 1}, found.version)
                return
            except Conflict:
                continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(40)))
    assert documents.get("counters/c").data == {"n": 40}  # type: ignore[union-attr]


def test_deleting_is_fine_twice_and_checks_the_version_if_given(documents: Documents) -> None:
    first = documents.create("predictions/a", {"n": 1})
    documents.replace("predictions/a", {"n": 2}, first.version)
    with pytest.raises(Conflict):
        documents.delete("predictions/a", first.version)
    documents.delete("predictions/a")
    documents.delete("predictions/a")
    with pytest.raises(Conflict):
        documents.delete("predictions/a", first.version)
    assert documents.get("predictions/a") is None


def test_times_keep_their_instant_and_microseconds(documents: Documents) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    documents.create("predictions/a", {"at": elsewhere, "many": [NOON, {"deep": NOON}]})
    found = documents.get("predictions/a")
    assert found is not None
    assert found.data == {"at": NOON, "many": [NOON, {"deep": NOON}]}
    assert found.data["at"].tzinfo is not None


@pytest.mark.parametrize(
    "text", ["@", "@@", "@2026-08-23T12:00:00.000000Z", "2026-08-23T12:00:00Z", "naïve ☂ \U0001f408"]
)
def test_text_that_looks_like_a_time_stays_text(documents: Documents, text: str) -> None:
    documents.create("predictions/a", {"text": text, "list": [text]})
    assert documents.get("predictions/a").data == {"text": text, "list": [text]}  # type: ignore[union-attr]
    assert names(documents.query("predictions", [("text", "==", text)])) == ["a"]


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
    # Fixed offsets: Python calls the hour that a zone repeats unequal to the same moment in UTC (PEP 495).
    | st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.timezones()).map(
        lambda at: at.replace(tzinfo=timezone(at.utcoffset() or timedelta()))
    )
)
keys = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True)
# Firestore holds no list directly inside a list.
nested = st.recursive(
    scalars | st.lists(scalars, max_size=3), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.dictionaries(keys, nested, max_size=4))
def test_any_data_survives_the_round_trip(documents: Documents, data: dict[str, Any]) -> None:
    path = f"predictions/{new_prediction_id()}"
    documents.create(path, data)
    found = documents.get(path)
    assert found is not None
    assert found.data == data


@pytest.mark.parametrize(
    "path", ["", "predictions", "a/b/c", "/a", "a/", "a//b/c", "a/..", "a/.", "a/__b__", "a/" + "b" * 1501, "a/\ud800"]
)
def test_paths_that_are_not_documents_are_refused(documents: Documents, path: str) -> None:
    with pytest.raises(Malformed):
        documents.create(path, {})
    with pytest.raises(Malformed):
        documents.get(path)


@pytest.mark.parametrize("data", [{"at": datetime(2026, 1, 1)}, {"n": 2**63}, {"b": object()}, {"t": "x" * (1 << 20)}])
def test_data_that_no_document_can_hold_is_refused(documents: Documents, data: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        documents.create("predictions/a", data)
    assert documents.get("predictions/a") is None


def test_odd_ids_are_just_ids(documents: Documents) -> None:
    for odd in ["..a", "a'b", 'a"b', "%2F", "日本", "a b", "-", "~x", "\u202e"]:
        documents.create(f"predictions/{odd}", {"id": odd})
        assert documents.get(f"predictions/{odd}").data == {"id": odd}  # type: ignore[union-attr]


def seed(documents: Documents) -> None:
    for n, state in enumerate(["QUEUED", "RUNNING", "QUEUED", "SUCCEEDED", "RUNNING"]):
        lease = NOON + timedelta(seconds=n) if state == "RUNNING" else None
        documents.create(
            f"predictions/p{n}",
            {
                "state": state,
                "n": n,
                "leaseExpireTime": lease,
                "input": {"width": n * 100},
                "done": state == "SUCCEEDED",
            },
        )


def test_queries_filter_by_every_operator(documents: Documents) -> None:
    seed(documents)

    def ids(*where: Any) -> list[str]:
        return names(documents.query("predictions", where))

    assert ids(("state", "==", "QUEUED")) == ["p0", "p2"]
    assert ids(("state", "in", ["QUEUED", "SUCCEEDED"])) == ["p0", "p2", "p3"]
    assert ids(("n", "<", 2)) == ["p0", "p1"]
    assert ids(("n", "<=", 2)) == ["p0", "p1", "p2"]
    assert ids(("n", ">", 2)) == ["p3", "p4"]
    assert ids(("n", ">=", 2), ("n", "<", 4)) == ["p2", "p3"]
    assert ids(("done", "==", True)) == ["p3"]
    assert ids(("leaseExpireTime", "==", None)) == ["p0", "p2", "p3"]
    assert ids(("input.width", "==", 300)) == ["p3"]
    assert ids(("missing", "==", 1)) == []


def test_queries_compare_times_and_leave_out_null(documents: Documents) -> None:
    seed(documents)
    late = documents.query(
        "predictions", [("state", "==", "RUNNING"), ("leaseExpireTime", "<=", NOON + timedelta(seconds=1))]
    )
    assert names(late) == ["p1"]
    assert names(documents.query("predictions", [("leaseExpireTime", "<", NOON + timedelta(days=1))])) == ["p1", "p4"]


def test_queries_order_and_limit(documents: Documents) -> None:
    seed(documents)
    assert names(documents.query("predictions", order_by=[("n", "desc")], limit=2)) == ["p4", "p3"]
    assert names(documents.query("predictions", limit=2)) == ["p0", "p1"]
    assert names(documents.query("predictions", order_by=[("state", "asc"), ("n", "desc")])) == [
        "p2",
        "p0",
        "p4",
        "p1",
        "p3",
    ]


def test_a_document_without_the_ordering_field_is_left_out(documents: Documents) -> None:
    documents.create("predictions/with", {"n": 1})
    documents.create("predictions/null", {"n": None})
    documents.create("predictions/without", {})
    assert names(documents.query("predictions", order_by=[("n", "asc")])) == ["null", "with"]


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_pages_hold_every_document_once_in_order(documents: Documents, direction: Any) -> None:
    for n in range(11):
        documents.create(f"predictions/p{n:02}", {"at": NOON + timedelta(seconds=n // 3)})
    order = [("at", direction)]
    whole = names(documents.query("predictions", order_by=order))
    paged: list[str] = []
    after = None
    while page := documents.query("predictions", order_by=order, limit=2, after=after):
        paged += names(page)
        after = [page[-1].data["at"], page[-1].id]
    assert paged == whole
    assert sorted(whole) == [f"p{n:02}" for n in range(11)]
    ties = [name for name in whole if name in ("p03", "p04", "p05")]
    assert ties == sorted(ties, reverse=direction == "desc")  # ties go the way of the last order


def test_pages_without_an_order_go_by_id(documents: Documents) -> None:
    for n in range(5):
        documents.create(f"predictions/p{n}", {"n": n})
    assert names(documents.query("predictions", limit=2, after=["p1"])) == ["p2", "p3"]


def test_subcollections_are_apart(documents: Documents) -> None:
    documents.create("predictions/a", {"n": 0})
    documents.create("predictions/a/feedback/f1", {"verdict": "good"})
    documents.create("predictions/b/feedback/f1", {"verdict": "bad"})
    assert names(documents.query("predictions")) == ["a"]
    found = documents.query("predictions/a/feedback")
    assert [(d.path, d.data) for d in found] == [("predictions/a/feedback/f1", {"verdict": "good"})]


async def upcoming(watch: AsyncIterator[Document | None]) -> Document | None:
    return await asyncio.wait_for(anext(watch), 20)


def test_a_watcher_sees_now_and_then_each_change(documents: Documents) -> None:
    async def scenario() -> list[Any]:
        seen: list[Any] = []
        watch = documents.watch("predictions/a")
        seen.append(await upcoming(watch))
        created = await asyncio.to_thread(documents.create, "predictions/a", {"n": 1})
        seen.append((await upcoming(watch)).data)  # type: ignore[union-attr]
        await asyncio.to_thread(documents.replace, "predictions/a", {"n": 2}, created.version)
        seen.append((await upcoming(watch)).data)  # type: ignore[union-attr]
        await asyncio.to_thread(documents.delete, "predictions/a")
        seen.append(await upcoming(watch))
        await watch.aclose()  # type: ignore[attr-defined]
        return seen

    assert asyncio.run(scenario()) == [None, {"n": 1}, {"n": 2}, None]


def test_many_watchers_of_two_documents_see_their_own(documents: Documents) -> None:
    async def last(path: str) -> int:
        async for document in documents.watch(path):
            if document is not None and document.data["n"] >= 3:
                return int(document.data["n"])
        raise AssertionError("a watch has no end")

    async def scenario() -> list[int]:
        watchers = [asyncio.create_task(last(f"predictions/{name}")) for name in ["a", "b"] * 10]
        for n in range(1, 4):
            for name in ("a", "b"):
                await asyncio.to_thread(write, name, n)
        return await asyncio.wait_for(asyncio.gather(*watchers), 30)

    def write(name: str, n: int) -> None:
        value = n + 10 if name == "b" and n == 3 else n
        found = documents.get(f"predictions/{name}")
        if found is None:
            documents.create(f"predictions/{name}", {"n": value})
        else:
            documents.replace(found.path, {"n": value}, found.version)

    assert asyncio.run(scenario()) == [3, 13] * 10


def test_a_cancelled_watch_ends_quietly(documents: Documents) -> None:
    async def follow() -> None:
        async for _ in documents.watch("predictions/a"):
            pass

    async def scenario() -> None:
        task = asyncio.create_task(follow())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 20)

    asyncio.run(scenario())
    asyncio.run(scenario())  # and a second event loop works as the first did
