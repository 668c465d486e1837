"""The audit finds a planted fault of each of its lists through every pair of adapters; a healthy history is clean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared import ids
from shared.accept import accept
from shared.adapters.local.services import LocalServices
from shared.audit import Report, audit
from shared.events import Uploaded
from shared.logs import Log
from shared.ports import ObjectInfo
from shared.prediction import Phase, Prediction, State
from shared.runtime import Runtime
from shared.settings import Settings
from tests.contract.adapters import DOCUMENTS, OBJECTS
from tests.domain import PHOTO, Queue

PAIRS = (("local", "local"), ("firestore", "cloud storage"))
LATER = timedelta(hours=1)


@pytest.fixture(params=PAIRS, ids=lambda pair: pair[0])
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runtime]:
    store, bucket = request.param
    settings = Settings.from_env({}, data=tmp_path, cache=False)
    with DOCUMENTS[store](tmp_path) as documents, OBJECTS[bucket](tmp_path) as objects:
        yield Runtime(settings, documents, objects, Queue(), LocalServices(documents))


def succeeded(runtime: Runtime, name: str) -> Prediction:
    """Without a container: as if one had been there."""
    info = uploaded(runtime, name)
    accept(runtime, Uploaded(info.bucket, info.name, info.generation), Log("test", write=lambda line: None))
    prediction_id = ids.prediction_id_of(info.bucket, info.name, info.generation)
    mask = runtime.objects.put("results", ids.result_name(prediction_id, info.generation, 1), b"mask", "image/png")
    result = {"bucket": mask.bucket, "object": mask.name, "generation": mask.generation}

    def end(stored: Prediction, now: datetime) -> Prediction:
        return stored.moved(State.RUNNING, Phase.STORING, fence=1).ended(State.SUCCEEDED, result=result)

    ended = runtime.store.update(prediction_id, end)
    assert ended is not None
    return ended


def uploaded(runtime: Runtime, name: str) -> ObjectInfo:
    return runtime.objects.put("uploads", name, PHOTO, "image/png")


def found(runtime: Runtime) -> Report:
    return audit(runtime, datetime.now(UTC) + LATER)


def test_a_healthy_history_is_clean(runtime: Runtime) -> None:
    succeeded(runtime, "users/ana/cat.png")
    assert found(runtime) == Report()


def test_each_list_names_its_fault(runtime: Runtime) -> None:
    lost = uploaded(runtime, "users/ana/lost.png")
    twice = succeeded(runtime, "users/ana/twice.png")
    runtime.store.create(replace(twice, id="p" + "a" * 25, result={}, state=State.FAILED))
    gone = succeeded(runtime, "users/ana/gone.png")
    runtime.objects.delete("uploads", gone.object)
    stuck = succeeded(runtime, "users/ana/stuck.png")
    runtime.store.update(stuck.id, lambda stored, _: replace(stored, state=State.QUEUED, result={}))
    runtime.objects.delete("results", stuck.result["object"])
    report = found(runtime)
    assert report.missing == [f"{lost.name} generation {lost.generation}"]
    assert report.duplicated == [f"{twice.object} generation {twice.generation}"]
    assert [line.split()[0] for line in report.unexpected] == [gone.id]
    assert [line.split()[0] for line in report.stuck] == [stuck.id]
