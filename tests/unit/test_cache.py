"""Equal photos of one user are answered without a GPU; everything else goes on the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shared import ids, registry
from shared.accept import accept
from shared.events import Uploaded
from shared.logs import Log
from shared.prediction import Phase, Prediction, State
from shared.runtime import Runtime, connect
from shared.settings import Settings
from tests.domain import OneByOne

MODEL = {"name": "toy", "version": "1", "classes": []}
QUIET = Log("accept", write=lambda line: None)


class Topic(OneByOne, list[str]):
    """Remembers what was published on any topic."""

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        self.append(attributes["predictionId"])
        return "1"


def published(runtime: Runtime) -> list[str]:
    assert isinstance(runtime.topics, Topic)
    return list(runtime.topics)


def png(shade: int) -> bytes:
    out = BytesIO()
    Image.new("L", (20, 20), shade).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(name="runtime")
def connected(tmp_path: Path) -> Runtime:
    runtime = replace(connect(Settings.from_env({"MASKLINE_DATA": str(tmp_path)})), topics=Topic())
    registry.register(runtime.documents, MODEL)
    return runtime


def upload(runtime: Runtime, name: str, data: bytes) -> Prediction:
    """The prediction of a file copied into the bucket, after accept saw it."""
    info = runtime.objects.put("uploads", name, data, "image/png")
    accept(runtime, Uploaded(info.bucket, info.name, info.generation), QUIET)
    return stored(runtime, ids.prediction_id_of(info.bucket, info.name, info.generation))


def stored(runtime: Runtime, name: str) -> Prediction:
    snapshot = runtime.store.get(name)
    assert snapshot is not None
    return snapshot.prediction


def segmented(runtime: Runtime, prediction: Prediction, **changes: Any) -> Prediction:
    """As the container leaves it."""
    info = runtime.objects.put(
        "results", ids.result_name(prediction.id, prediction.generation, 1), b"mask", "image/png"
    )
    result = {"bucket": info.bucket, "object": info.name, "generation": info.generation}
    result |= {"sha256": "00", "width": 20, "height": 20, "classes": []}

    def end(found: Prediction, now: object) -> Prediction:
        running = found.moved(State.RUNNING, Phase.DECODING, fence=1, claims=1)
        model = {"name": "toy", "version": "1", "arm": "stable"}
        return replace(running.ended(State.SUCCEEDED, result=result, model=model), **changes)

    runtime.store.update(prediction.id, end)
    return stored(runtime, prediction.id)


def test_the_same_bytes_of_the_same_user_are_answered_with_a_mask_of_their_own(runtime: Runtime) -> None:
    first = segmented(runtime, upload(runtime, "users/ada/a.png", png(1)))
    second = upload(runtime, "users/ada/b.png", png(1))
    assert (second.state, second.cache) == (State.SUCCEEDED, {"hit": True, "predictionId": first.id})
    assert second.claims == 0
    runtime.objects.delete("results", first.result["object"])
    assert runtime.objects.get("results", second.result["object"]) == b"mask"
    assert published(runtime) == [first.id]


def test_an_event_that_comes_again_changes_nothing(runtime: Runtime) -> None:
    segmented(runtime, upload(runtime, "users/ada/a.png", png(1)))
    second = upload(runtime, "users/ada/b.png", png(1))
    accept(runtime, Uploaded(second.bucket, second.object, second.generation), QUIET)
    assert stored(runtime, second.id) == second


def test_other_bytes_other_users_other_versions_and_lost_masks_are_segmented(runtime: Runtime) -> None:
    first = segmented(runtime, upload(runtime, "users/ada/a.png", png(1)))
    assert upload(runtime, "users/ada/b.png", png(2)).state is State.QUEUED
    assert upload(runtime, "users/bob/a.png", png(1)).state is State.QUEUED
    registry.register(runtime.documents, MODEL | {"version": "2"})
    assert upload(runtime, "users/ada/c.png", png(1)).state is State.QUEUED
    registry.register(runtime.documents, MODEL)
    runtime.objects.delete("results", first.result["object"])
    assert upload(runtime, "users/ada/d.png", png(1)).state is State.QUEUED


def test_a_deleted_prediction_answers_nobody(runtime: Runtime) -> None:
    segmented(runtime, upload(runtime, "users/ada/a.png", png(1)), deleted=True)
    assert upload(runtime, "users/ada/b.png", png(1)).state is State.QUEUED


def test_the_cache_can_be_switched_off(runtime: Runtime) -> None:
    segmented(runtime, upload(runtime, "users/ada/a.png", png(1)))
    off = replace(runtime, settings=replace(runtime.settings, cache=False))
    assert upload(off, "users/ada/b.png", png(1)).state is State.QUEUED


def test_registering_again_says_the_newest(runtime: Runtime) -> None:
    registry.register(runtime.documents, MODEL | {"version": "2"})
    assert registry.serving(runtime.documents, "stable") == registry.Serving("toy", "2")
    assert registry.serving(runtime.documents, "candidate") is None
