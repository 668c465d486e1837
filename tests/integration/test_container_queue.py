"""A container fed by the queue: each delivery ends in one outcome in the document, and the right answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from shared import envelope, ids
from shared.accept import requested
from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects
from shared.prediction import Phase, Prediction, State
from shared.store import PredictionStore
from tests.integration.containers import PATIENCE, Broker, Container, broker, photo, started, wait_for

HOUR = timedelta(hours=1)


@dataclass
class Stack:
    """One instance, its data folder, and the queue that it publishes to."""

    container: Container
    broker: Broker
    documents: LocalDocuments
    objects: LocalObjects

    @property
    def store(self) -> PredictionStore:
        return PredictionStore(self.documents)

    def upload(self, data: bytes) -> Prediction:
        """A photo in the bucket and its prediction, QUEUED but not yet on the queue."""
        prediction_id = ids.new_prediction_id()
        info = self.objects.put("uploads", ids.upload_name("ana", prediction_id), data, "image/jpeg")
        now = datetime.now(UTC)
        prediction = Prediction(
            id=prediction_id,
            owner_uid="ana",
            state=State.QUEUED,
            phase=Phase.QUEUED,
            bucket=info.bucket,
            object=info.name,
            generation=info.generation,
            create_time=now,
            publish_time=now,
            deadline=now + HOUR,
            expire_time=now + HOUR,
            input={"crc32c": info.crc32c},
        )
        self.store.create(prediction)
        return prediction

    def change(self, prediction: Prediction, **changes: object) -> None:
        self.store.update(prediction.id, lambda stored, _: replace(stored, **changes))  # type: ignore[arg-type]

    def push(self, prediction: Prediction) -> httpx.Response:
        return self.post(envelope.encode(message(prediction), datetime.now(UTC).isoformat()))

    def post(self, body: bytes) -> httpx.Response:
        return httpx.post(self.container.url + "/push", content=body, timeout=PATIENCE)

    def get(self, prediction: Prediction) -> Prediction:
        snapshot = self.store.get(prediction.id)
        assert snapshot is not None
        return snapshot.prediction


def message(prediction: Prediction) -> envelope.Push:
    data, attributes = requested(prediction).to_message()
    return envelope.Push(data, attributes, "1", "projects/p/subscriptions/s")


@contextmanager
def running(folder: Path, *arguments: str, **settings: str) -> Iterator[Stack]:
    with (
        broker() as queue,
        started("--queue", *arguments, MASKLINE_DATA=str(folder), MASKLINE_BROKER_URL=queue.url, **settings) as one,
    ):
        yield Stack(one, queue, LocalDocuments(folder / "documents.db"), LocalObjects(folder))


@pytest.fixture(name="stack", scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("data")) as stack:
        stack.container.wait_ready()
        yield stack


def test_a_delivery_ends_with_a_stored_mask_and_a_complete_record(stack: Stack) -> None:
    data = photo("coffee")
    prediction = stack.upload(data)
    assert stack.push(prediction).status_code == 204
    ended = stack.get(prediction)
    assert (ended.state, ended.phase, ended.claims, ended.lease_expire_time) == (State.SUCCEEDED, Phase.DONE, 1, None)
    mask = stack.objects.get(ended.result["bucket"], ended.result["object"], ended.result["generation"])
    assert Image.open(BytesIO(mask)).size == (600, 400) == (ended.result["width"], ended.result["height"])
    assert ended.result["object"] == ids.result_name(prediction.id, prediction.generation, fence=1)
    assert ended.result["sha256"] == hashlib.sha256(mask).hexdigest()
    assert ended.input["sha256"] == hashlib.sha256(data).hexdigest()
    assert (ended.input["sizeBytes"], ended.input["crc32c"]) == (len(data), prediction.input["crc32c"])
    assert (ended.model["name"], ended.model["arm"]) == ("starter", "stable")
    assert {"queued", "fetch", "decode", "batchWait", "forward", "encode", "store", "total"} <= set(ended.timings)


def test_further_outputs_agree_with_the_mask(stack: Stack) -> None:
    prediction = stack.upload(photo("chelsea"))
    stack.change(prediction, outputs=("polygons", "preview", "rle"))
    assert stack.push(prediction).status_code == 204
    result = stack.get(prediction).result
    files = {name: stack.objects.get(result["bucket"], file) for name, file in result["outputs"].items()}
    ids_of_classes = [row["id"] for row in result["classes"]]
    for name in ("rle", "polygons"):
        assert [row["id"] for row in json.loads(files[name])["classes"]] == ids_of_classes
    assert Image.open(BytesIO(files["preview"])).size == (451, 300)


def test_a_second_delivery_changes_nothing(stack: Stack) -> None:
    prediction = stack.upload(photo())
    stack.push(prediction)
    before = stack.documents.get(prediction.path)
    assert stack.push(prediction).status_code == 204
    assert stack.documents.get(prediction.path).version == before.version  # type: ignore[union-attr]


def test_a_photo_that_somebody_works_on_comes_back_when_the_lease_is_over(stack: Stack) -> None:
    prediction = stack.upload(photo())
    soon = datetime.now(UTC) + timedelta(seconds=40)
    stack.change(prediction, state=State.RUNNING, fence=1, claims=1, lease_expire_time=soon)
    answer = stack.push(prediction)
    assert answer.status_code == 429
    assert 30 <= int(answer.headers["retry-after"]) <= 40


def test_a_photo_that_killed_every_worker_is_set_aside(stack: Stack) -> None:
    prediction = stack.upload(photo())
    over = datetime.now(UTC) - timedelta(seconds=1)
    stack.change(prediction, state=State.RUNNING, fence=3, claims=3, lease_expire_time=over)
    assert stack.push(prediction).status_code == 204
    assert (stack.get(prediction).state, stack.get(prediction).error["reason"]) == (State.FAILED, "POISON")


def test_a_photo_past_its_deadline_expires(stack: Stack) -> None:
    prediction = stack.upload(photo())
    stack.change(prediction, deadline=datetime.now(UTC) - timedelta(seconds=1))
    assert stack.push(prediction).status_code == 204
    assert stack.get(prediction).state is State.EXPIRED


def test_a_file_that_is_no_photo_is_rejected_with_its_reason(stack: Stack) -> None:
    prediction = stack.upload(b"this is not a photo")
    assert stack.push(prediction).status_code == 204
    ended = stack.get(prediction)
    assert (ended.state, ended.error["reason"]) == (State.REJECTED, "UNSUPPORTED_MEDIA")
    assert ended.error["message"]


def test_a_photo_that_was_deleted_fails_as_missing(stack: Stack) -> None:
    prediction = stack.upload(photo())
    stack.objects.delete(prediction.bucket, prediction.object)
    assert stack.push(prediction).status_code == 204
    assert (stack.get(prediction).state, stack.get(prediction).error["reason"]) == (State.FAILED, "SOURCE_MISSING")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"message": {"data": "bm9uc2Vuc2U="}}', bytes(100_000)])
def test_a_delivery_that_nobody_can_read_is_acknowledged(stack: Stack, body: bytes) -> None:
    assert stack.post(body).status_code == 204


def test_many_deliveries_at_once_each_end_once(stack: Stack) -> None:
    predictions = [stack.upload(photo()) for _ in range(12)]
    with ThreadPoolExecutor(24) as threads:
        codes = [answer.status_code for answer in threads.map(stack.push, predictions * 2)]
    assert set(codes) <= {204, 429}  # the twin of one at work is asked to come back
    assert [stack.get(one).state for one in predictions] == [State.SUCCEEDED] * 12
    assert [stack.get(one).claims for one in predictions] == [1] * 12


def test_an_instance_is_on_record_while_it_lives(tmp_path: Path) -> None:
    with running(tmp_path, "--arm", "candidate") as stack:
        stack.container.wait_ready()
        record = wait_for(
            lambda: next((one.data for one in stack.documents.query("instances") if "readyTime" in one.data), None),
            "no instance on record",
        )
        assert (record["state"], record["arm"], record["model"]["name"]) == ("ready", "candidate", "starter")
        assert record["coldStart"]["totalMs"] >= record["coldStart"]["importMs"] > 0
        assert record["expireTime"] > record["heartbeatTime"] >= record["startTime"]
        assert stack.container.stop() == 0
        assert stack.documents.query("instances") == []


def test_what_an_instance_cannot_finish_before_it_stops_it_gives_back(tmp_path: Path, slow_bundle: Path) -> None:
    settings = {"MASKLINE_MAX_BATCH": "1", "MASKLINE_CONCURRENCY": "24"}
    with running(tmp_path, "--model", str(slow_bundle), **settings) as stack:
        stack.container.wait_ready()
        predictions = [stack.upload(photo()) for _ in range(24)]
        with ThreadPoolExecutor(24) as threads:
            answers = [threads.submit(stack.push, one) for one in predictions]
            wait_for(lambda: all(stack.get(one).claims for one in predictions), "not everything was claimed")
            assert stack.container.stop() == 0
            codes = [answer.result().status_code for answer in answers]
        ended = [stack.get(one) for one in predictions]
        returned = [one for one in ended if one.given_back]
        assert returned
        assert {code for code, one in zip(codes, ended, strict=True) if one.given_back} == {503}
        assert all(one.charged_claims == 0 and one.lease_expire_time < datetime.now(UTC) for one in returned)  # type: ignore[operator]
        assert sorted(body["predictionId"] for _, body in stack.broker.published) == sorted(one.id for one in returned)
        assert {one.state for one in ended} <= {State.SUCCEEDED, State.RUNNING}
        assert all(one.given_back for one in ended if one.state is State.RUNNING)
        log = [json.loads(line) for line in stack.container.process.stdout or ()]
        assert {line["prediction_id"] for line in log if line["action"] == "gave_back"} == {one.id for one in returned}


@pytest.fixture(scope="module")
def slow_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose photos are 80 times as large as the starter's: a forward takes most of a second."""
    import torch

    from inference_container import architectures, bundle
    from inference_container.manifest import ClassInfo, Manifest

    folder = tmp_path_factory.mktemp("models") / "slow"
    classes = (ClassInfo(0, "background", "#000000"), ClassInfo(1, "thing", "#e69f00"))
    torch.manual_seed(1)
    manifest = Manifest("slow", "1", "compact-v1", classes, 2048, 2, {"insideNetwork": True})
    bundle.save(folder, manifest, architectures.build("compact-v1", 2))
    return folder
