"""Uploads that are accepted together share a commit and a request, and nothing else: not an error, not a loss."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from shared import pipeline
from shared.accept import accept_all
from shared.accepting import THREADS, accepting
from shared.adapters.local.documents import LocalDocuments
from shared.errors import Malformed, Retryable
from shared.events import Uploaded
from shared.ports import Message
from shared.prediction import State
from shared.runtime import Runtime, Together
from shared.store import PredictionStore
from tests.domain import PHOTO, Queue, World, copied_id, photo, world


@dataclass
class Watched(Queue):
    """Notes its requests, looks into the database as another process would, and refuses the photos that it is told."""

    folder: Path = Path()
    refused: set[str] = field(default_factory=set)
    requests_of: list[list[str]] = field(default_factory=list)
    undurable: list[str] = field(default_factory=list)

    def publish_all(self, topic: str, messages: Sequence[Message]) -> list[str | Exception]:
        names = [attributes["predictionId"] for _, attributes in messages]
        self.requests_of.append(names)
        outside = LocalDocuments(self.folder / "documents.db")
        for name in names:
            found = PredictionStore(outside).get(name)
            if found is None or found.prediction.state is not State.QUEUED:
                self.undurable.append(name)
        outside.close()
        outcomes = super().publish_all(topic, messages)
        return [Malformed("no") if name in self.refused else one for name, one in zip(names, outcomes, strict=True)]


@contextmanager
def watched(folder: Path) -> Iterator[tuple[World, Watched]]:
    with world(folder) as domain:
        domain.queue = queue = Watched(folder=folder)
        yield domain, queue


def together(domain: World, *events: Uploaded) -> list[Exception | None]:
    return accept_all(domain.runtime, domain.log, events)


def kinds(outcomes: Sequence[Exception | None]) -> list[type[Exception] | None]:
    return [outcome if outcome is None else type(outcome) for outcome in outcomes]


def states(domain: World, events: Sequence[Uploaded]) -> list[State | None]:
    found = [domain.runtime.store.get(copied_id(event)) for event in events]
    return [None if one is None else one.prediction.state for one in found]


def test_a_group_is_one_request_after_its_records_are_durable(tmp_path: Path) -> None:
    with watched(tmp_path) as (domain, queue):
        events = [domain.upload(f"users/ana/{number}.png") for number in range(5)]
        assert together(domain, *events) == [None] * 5
        assert queue.requests_of == [[copied_id(event) for event in events]]
        assert queue.undurable == []


def test_what_became_of_one_is_nothing_to_the_others(tmp_path: Path) -> None:
    with watched(tmp_path) as (domain, queue):
        fine, last = domain.upload("users/ana/a.png"), domain.upload("users/ana/b.png")
        text, foreign = domain.upload("users/ana/t.png", b"hello"), Uploaded("results", "users/ana/x.png", 1)
        gone = Uploaded("uploads", "users/ana/gone.png", 7)
        broken = replace(gone, object="users/ana/broken.png")
        stat = domain.objects.stat

        def failing(bucket: str, name: str, generation: int | None = None):  # type: ignore[no-untyped-def]
            if name == broken.object:
                raise Retryable("the disk is busy")
            return stat(bucket, name, generation)

        domain.objects.stat = failing  # type: ignore[method-assign]
        events = [fine, broken, text, foreign, gone, last]
        assert kinds(together(domain, *events)) == [None, Retryable, None, None, None, None]
        expected = [State.QUEUED, None, State.REJECTED, None, State.FAILED, State.QUEUED]
        assert states(domain, events) == expected
        assert queue.requests_of == [[copied_id(fine), copied_id(last)]]


def test_an_event_that_is_there_twice_is_recorded_once(tmp_path: Path) -> None:
    with watched(tmp_path) as (domain, queue):
        event = domain.upload()
        assert together(domain, event, event) == [None, None]
        assert queue.requests_of == [[copied_id(event)]]
        assert together(domain, event) == [None]


def test_a_commit_that_fails_fails_every_new_record_and_publishes_none_of_them(tmp_path: Path) -> None:
    with watched(tmp_path) as (domain, queue):
        old = domain.upload("users/ana/old.png")
        domain.accept(old)

        @contextmanager
        def failing() -> Iterator[None]:
            with domain.documents.documents.together():
                yield
                raise Retryable("the disk is busy")

        runtime = replace(domain.runtime, together=Together(failing, domain.objects.together))
        events = [domain.upload(f"users/ana/{number}.png") for number in range(3)]
        queue.requests_of.clear()
        assert kinds(accept_all(runtime, domain.log, events)) == [Retryable] * 3
        assert states(domain, events) == [None] * 3
        assert queue.requests_of == []
        assert accept_all(runtime, domain.log, [old]) == [None]  # nothing of it is new: no commit that could fail


def test_who_is_queued_but_not_published_comes_again(tmp_path: Path) -> None:
    with watched(tmp_path) as (domain, queue):
        events = [domain.upload(f"users/ana/{number}.png") for number in range(3)]
        queue.refused = {copied_id(events[1])}
        assert kinds(together(domain, *events)) == [None, Malformed, None]
        assert states(domain, events) == [State.QUEUED] * 3
        queue.refused.clear()
        assert together(domain, events[1]) == [None]
        assert queue.requests_of[-1] == [copied_id(events[1])]


def test_while_the_queue_is_down_all_that_are_queued_come_again(tmp_path: Path) -> None:
    with watched(tmp_path) as (domain, queue):
        fine, text = domain.upload("users/ana/a.png"), domain.upload("users/ana/t.png", b"hello")
        queue.down = True
        assert kinds(together(domain, fine, text)) == [Retryable, None]


FILES = {"photo": PHOTO, "other": photo(50, 50), "text": b"hello", "small": photo(8, 8), "cut": PHOTO[:20]}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["gone", *FILES]), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12),
    st.lists(st.integers(1, 5), min_size=12, max_size=12),
)
def test_grouping_changes_nothing_for_anybody(uploads: list[tuple[str, bool, int]], sizes: list[int]) -> None:
    """Events, some refused by the queue and some repeated, in groups of any sizes, end as they would one by one."""
    with TemporaryDirectory() as folder, watched(Path(folder)) as (domain, queue):
        events: list[Uploaded] = []
        for number, (kind, refused, copies) in enumerate(uploads):
            name = f"users/ana/{number}.png"
            event = Uploaded("uploads", name, 7) if kind == "gone" else domain.upload(name, FILES[kind])
            events += [event] * (1 + copies)
            queue.refused |= {copied_id(event)} if refused else set()
        outcomes: list[Exception | None] = []
        rest = list(events)
        for size in [*sizes, len(events)]:
            outcomes += together(domain, *rest[:size]) if rest else []
            rest = rest[size:]
        queued = {copied_id(e): s is State.QUEUED for e, s in zip(events, states(domain, events), strict=True)}
        for event, outcome in zip(events, outcomes, strict=True):
            mine = copied_id(event)
            assert (outcome is not None) == (queued[mine] and mine in queue.refused)
        assert queue.undurable == []
        asked = [name for names in queue.requests_of for name in names]
        assert set(asked) == {copied_id(event) for event in events if queued[copied_id(event)]}
        assert all(len(set(names)) == len(names) for names in queue.requests_of)


# -- on an event loop


def run(runtime: Runtime, domain: World, act: Callable[[Callable[[Uploaded], asyncio.Future[None]]], object]) -> None:
    async def steps() -> None:
        accept = accepting(runtime, domain.log)
        result = act(lambda event: asyncio.ensure_future(accept(event)))
        assert asyncio.iscoroutine(result)
        await result

    asyncio.run(steps())


def test_those_that_come_together_go_together(tmp_path: Path) -> None:
    with watched(tmp_path) as (domain, queue):
        events = [domain.upload(f"users/ana/{number}.png") for number in range(6)]

        async def act(accept: Callable[[Uploaded], asyncio.Future[None]]) -> None:
            calls = [accept(event) for event in events]
            await asyncio.sleep(0)  # all have asked
            calls[2].cancel()  # whoever sent it has gone
            await asyncio.gather(*calls, return_exceptions=True)

        run(domain.runtime, domain, act)
        del events[2]
        assert queue.requests_of == [[copied_id(event) for event in events]]


def test_without_shared_commits_nobody_waits_for_a_slow_one(tmp_path: Path) -> None:
    with watched(tmp_path) as (domain, queue):
        slow, quick = domain.upload("users/ana/slow.png"), domain.upload("users/ana/quick.png")
        over, stat = threading.Event(), domain.objects.stat

        def waiting(bucket: str, name: str, generation: int | None = None):  # type: ignore[no-untyped-def]
            assert name != slow.object or over.wait(20)
            return stat(bucket, name, generation)

        domain.objects.stat = waiting  # type: ignore[method-assign]

        async def act(accept: Callable[[Uploaded], asyncio.Future[None]]) -> None:
            first = accept(slow)
            await accept(quick)
            assert not first.done()
            over.set()
            await first

        run(replace(domain.runtime, together=None), domain, act)
        assert queue.requests_of == [[copied_id(quick)], [copied_id(slow)]]


def test_a_stage_of_the_cloud_has_a_thread_for_each_request_of_an_instance() -> None:
    assert pipeline.load().stages["accept"].concurrency == THREADS
