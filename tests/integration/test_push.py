"""The claim's ends that a healthy container seldom sees, with real stores and a pipeline that misbehaves on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from inference_container.claims import Claims
from inference_container.faults import DeviceBroken, NotFinite, OutOfMemory
from inference_container.lifecycle import ColdStart, InstanceRecord, Loaded
from inference_container.manifest import Manifest
from inference_container.pipeline import UNKNOWN, Ledger, Pipeline, Size
from inference_container.push import Push
from inference_container.segmented import Encoded, Job, Segmented
from inference_container.service import Service
from shared import envelope, ids, tidy
from shared.accept import requested
from shared.api.removal import remove
from shared.audit import audit
from shared.delivery import Claim, Refusal
from shared.errors import Retryable
from shared.events import SegmentRequested
from shared.logs import Log
from shared.prediction import Phase, Prediction, State
from shared.runtime import Runtime, connect
from shared.settings import Settings
from tests.domain import OneByOne
from tests.integration.containers import PATIENCE

MANIFEST = Manifest("toy", "1", "compact-v1", (), 64, 2, {})
FOUND = Segmented("image/jpeg", 4, 3, Encoded(b"mask", "00", []))


@dataclass
class Scripted:
    """A pipeline that does `act` with each photo, then hands out a mask."""

    act: Callable[[], Awaitable[Any]]
    manifest: Manifest = MANIFEST
    exclusive: list[bool] = field(default_factory=list)

    def coming(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def segment(self, job: Job, ledger: Ledger, size: Size = UNKNOWN, exclusive: bool = False) -> Segmented:
        self.exclusive.append(exclusive)
        await self.act()
        return replace(FOUND, outputs={name: name.encode() for name in job.wanted})


@pytest.fixture(name="runtime")
def connected(tmp_path: Path) -> Runtime:
    return connect(Settings.from_env({"MASKLINE_DATA": str(tmp_path), "MASKLINE_WORK_BUDGET_SECONDS": "0.5"}))


def queued(runtime: Runtime, **changes: Any) -> Prediction:
    info = runtime.objects.put("uploads", "users/ana/x", b"photo", "image/jpeg")
    now = datetime.now(UTC)
    hour = now + timedelta(hours=1)
    prediction = Prediction(
        "p" + "a" * 25, "ana", State.QUEUED, Phase.QUEUED, info.bucket, info.name, hour, hour, now, info.generation
    )
    prediction = replace(prediction, **changes)
    runtime.store.create(prediction)
    return prediction


@dataclass
class Queue(OneByOne):
    """Remembers which topics were published to."""

    published: list[str] = field(default_factory=list)

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        self.published.append(topic)
        return "1"


class Stopping(Claims):
    """The instance is told to stop while it claims."""

    service: Service

    async def claim(self, request: SegmentRequested, manifest: Manifest, alone: bool) -> Claim | Refusal:
        taken = await super().claim(request, manifest, alone)
        self.service.stop()
        return taken


async def deliver(
    runtime: Runtime, prediction: Prediction, pipeline: Scripted, stopping: bool = False
) -> tuple[httpx.Response, Service]:
    service = Service(runtime.settings, Log("test", write=lambda line: None), lambda: None)
    service._pipeline.set_result(cast(Pipeline, pipeline))
    claims = Stopping(runtime, 4) if stopping else Claims(runtime, 4)
    if isinstance(claims, Stopping):
        claims.service = service
    push = Push(service, claims)
    app = Starlette(routes=[Route("/push", push.deliver, methods=["POST"])])
    data, attributes = requested(prediction).to_message()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.post("/push", content=envelope.encode(envelope.Push(data, attributes), ""))
    return answer, service


def run(runtime: Runtime, prediction: Prediction, act: Callable[[], Any]) -> tuple[int, Prediction, Scripted]:
    async def acting() -> None:
        result = act()
        if asyncio.iscoroutine(result):
            await result

    pipeline = Scripted(acting)
    answer, _ = asyncio.run(deliver(runtime, prediction, pipeline))
    snapshot = runtime.store.get(prediction.id)
    assert snapshot is not None
    return answer.status_code, snapshot.prediction, pipeline


def failing(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_who_was_overtaken_deletes_its_own_mask_and_acknowledges(runtime: Runtime) -> None:
    prediction = queued(runtime)

    def overtake() -> None:
        runtime.store.update(prediction.id, lambda stored, _: replace(stored, fence=stored.fence + 1))

    code, now, _ = run(runtime, prediction, overtake)
    assert (code, now.state, now.fence) == (204, State.RUNNING, 2)
    assert runtime.objects.list("results") == []


@pytest.mark.parametrize("error", [Retryable("later"), OSError("disk"), MemoryError(), ZeroDivisionError()])
def test_a_passing_fault_ends_the_lease_and_counts(runtime: Runtime, error: Exception) -> None:
    code, now, _ = run(runtime, queued(runtime), failing(error))
    assert (code, now.state, now.phase, now.charged_claims) == (503, State.RUNNING, Phase.RETRYING, 1)
    assert now.lease_expire_time is not None
    assert now.lease_expire_time <= datetime.now(UTC)


def test_work_beyond_its_budget_is_stopped(runtime: Runtime) -> None:
    code, now, _ = run(runtime, queued(runtime), lambda: asyncio.sleep(60))
    assert (code, now.phase, now.charged_claims) == (503, Phase.RETRYING, 1)


def test_a_photo_without_a_finite_answer_fails_instead_of_getting_garbage(runtime: Runtime) -> None:
    code, now, _ = run(runtime, queued(runtime), failing(NotFinite()))
    assert (code, now.state, now.error["reason"]) == (204, State.FAILED, "INTERNAL")


def test_a_photo_runs_alone_only_on_its_last_chance(runtime: Runtime) -> None:
    _, now, pipeline = run(runtime, queued(runtime), lambda: None)
    assert (now.state, pipeline.exclusive) == (State.SUCCEEDED, [False])


def test_a_photo_that_never_fits_fails_on_its_last_chance(runtime: Runtime) -> None:
    code, now, pipeline = run(runtime, queued(runtime, claims=2, fence=2), failing(OutOfMemory("no room")))
    assert (code, now.state, now.error["reason"]) == (204, State.FAILED, "OUT_OF_MEMORY")
    assert pipeline.exclusive == [True]


def test_claims_that_were_given_back_leave_the_last_chance_for_later(runtime: Runtime) -> None:
    _, _, pipeline = run(runtime, queued(runtime, claims=2, given_back=2, fence=2), lambda: None)
    assert pipeline.exclusive == [False]


def test_a_broken_device_ends_the_instance_and_the_photo_is_tried_elsewhere(runtime: Runtime) -> None:
    async def act() -> None:
        raise DeviceBroken("the device failed")

    prediction = queued(runtime)
    answer, service = asyncio.run(deliver(runtime, prediction, Scripted(act)))
    snapshot = runtime.store.get(prediction.id)
    assert (answer.status_code, snapshot and snapshot.prediction.phase) == (503, Phase.RETRYING)
    assert service.failure
    assert service.stopped.is_set()


def files(runtime: Runtime) -> list[str]:
    return [info.name.rsplit("/", 1)[1] for info in runtime.objects.list("results")]


def test_what_was_asked_for_is_stored_beside_the_mask(runtime: Runtime) -> None:
    _, now, _ = run(runtime, queued(runtime, outputs=("polygons", "preview", "rle")), lambda: None)
    assert now.state is State.SUCCEEDED
    assert files(runtime) == ["mask.png", "polygons.json", "preview.jpg", "rle.json"]
    kept = {name: runtime.objects.stat("results", file) for name, file in now.result["outputs"].items()}
    assert {name: info.content_type for name, info in kept.items()} == {
        "polygons": "application/json",
        "preview": "image/jpeg",
        "rle": "application/json",
    }
    assert runtime.objects.get("results", now.result["outputs"]["rle"]) == b"rle"


def test_who_was_overtaken_deletes_everything_it_stored(runtime: Runtime) -> None:
    prediction = queued(runtime, outputs=("preview", "rle"))

    def overtake() -> None:
        runtime.store.update(prediction.id, lambda stored, _: replace(stored, fence=stored.fence + 1))

    run(runtime, prediction, overtake)
    assert files(runtime) == []


def test_a_result_goes_with_all_its_files(runtime: Runtime) -> None:
    prediction = queued(runtime, outputs=("preview", "rle"))
    run(runtime, prediction, lambda: None)
    assert audit(runtime).clean
    remove(runtime, prediction.id)
    assert files(runtime) == []


def test_a_file_of_a_result_that_is_gone_is_noticed(runtime: Runtime) -> None:
    _, now, _ = run(runtime, queued(runtime, outputs=("rle",)), lambda: None)
    runtime.objects.delete("results", now.result["outputs"]["rle"])
    assert audit(runtime).unexpected == [f"{now.id} SUCCEEDED: its rle does not exist"]


def test_the_sweep_deletes_what_belongs_to_no_result_and_nothing_else(runtime: Runtime) -> None:
    _, now, _ = run(runtime, queued(runtime, outputs=("rle",)), lambda: None)
    stray = ids.result_name(now.id, now.generation, now.fence + 1, "rle.json")
    runtime.objects.put("results", stray, b"rle", "application/json")
    tidy.delete_orphans(runtime, datetime.now(UTC) + timedelta(hours=1), Log("test", write=lambda line: None))
    assert files(runtime) == ["mask.png", "rle.json"]


def test_a_claim_that_came_while_the_instance_was_told_to_stop_is_given_back(runtime: Runtime) -> None:
    async def act() -> None:
        raise AssertionError("it worked on")

    prediction = queued(runtime)
    queue = Queue()
    answer, _ = asyncio.run(deliver(replace(runtime, topics=queue), prediction, Scripted(act), stopping=True))
    snapshot = runtime.store.get(prediction.id)
    assert snapshot is not None
    assert (answer.status_code, snapshot.prediction.charged_claims, queue.published) == (503, 0, ["segment"])


@pytest.mark.parametrize(("waited", "paid"), [(True, [2000.0, 0.0]), (False, [0.0, 0.0])])
def test_only_a_photo_that_waited_for_the_cold_start_pays_for_it(
    runtime: Runtime, waited: bool, paid: list[float]
) -> None:
    async def bills() -> list[float]:
        service = Service(runtime.settings, Log("test", write=lambda line: None), lambda: None)
        before = datetime.now(UTC)
        loading: Future[Loaded] = Future()
        loading.set_result(Loaded(cast(Any, Idle()), ColdStart(1000, 500, 500, 2000)))
        await service.load(loading)
        began = before if waited else datetime.now(UTC)
        bills = [service.take_cold_start(began) for _ in range(2)]
        (await service.pipeline()).close()
        return bills

    assert asyncio.run(bills()) == paid


def test_an_instance_whose_record_was_deleted_is_on_record_again(runtime: Runtime) -> None:
    async def steps() -> None:
        record = InstanceRecord(runtime.documents, "x", "stable", Log("test", write=lambda line: None))
        keeping = asyncio.create_task(record.keep())
        await until(lambda: runtime.documents.get("instances/x"))
        runtime.documents.delete("instances/x")
        record.ready(MANIFEST, ColdStart(1, 1, 1, 3))
        await until(lambda: runtime.documents.get("instances/x"))
        await record.remove()
        keeping.cancel()
        assert runtime.documents.get("instances/x") is None

    asyncio.run(steps())


@dataclass
class Idle:
    """A device that nobody asks."""

    manifest: Manifest = MANIFEST
    kind: str = "cpu"
    workers: int = 1

    def run(self, jobs: Sequence[Any]) -> list[Any]:
        raise AssertionError("asked")


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)
