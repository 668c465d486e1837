"""A device that fails, under real instances, a real scaler and the real protocol: what each photo ends as."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from inference_container.manifest import STARTER
from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects
from shared.prediction import Prediction, State
from tests.integration.containers import Container, broken_bundle, broker, photo, wait_for
from tests.integration.faulty_container import NOT_FINITE
from tests.integration.scalers import Running, scaler
from tests.integration.test_container_queue import Stack

PHOTOS = 16
CALM = {"MASKLINE_LEASE_SECONDS": "60", "MASKLINE_ACK_DEADLINE_SECONDS": "90", "MASKLINE_MAX_BATCH": "6"}


@contextmanager
def running(folder: Path, *arguments: str, module: str, **settings: str) -> Iterator[tuple[Running, Stack]]:
    (folder / "faults").mkdir(exist_ok=True)
    with broker() as queue, scaler(folder, *arguments, module=module, MASKLINE_BROKER_URL=queue.url, **settings) as one:
        yield (
            one,
            Stack(
                Container(one.process, one.url), queue, LocalDocuments(folder / "documents.db"), LocalObjects(folder)
            ),
        )


@pytest.fixture(name="faulty", scope="module")
def over_faulty_devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Stack]]:
    folder = tmp_path_factory.mktemp("data")  # one instance: what it learns, no other knows
    with running(folder, module="tests.integration.faulty_scaler", MASKLINE_MAX_INSTANCES="1", **CALM) as both:
        yield both


def marked() -> bytes:
    out = BytesIO()
    Image.new("RGB", (400, 300), NOT_FINITE).save(out, "PNG")
    return out.getvalue()


def ended(stack: Stack, predictions: list[Prediction]) -> list[Prediction]:
    """Pushed together, once an instance serves: on a busy machine its port may be taken before it starts."""
    first = stack.upload(photo())
    wait_for(lambda: stack.push(first).status_code == 204, "an instance to serve")
    with ThreadPoolExecutor(len(predictions)) as threads:
        assert {answer.status_code for answer in threads.map(stack.push, predictions)} == {204}
    return [stack.get(one) for one in predictions]


def tried(one: Running) -> list[int]:
    return [int(line) for line in (one.data / "faults" / "tried").read_text().split()]


def test_an_answer_that_is_not_finite_is_a_failure_and_no_mask(faulty: tuple[Running, Stack]) -> None:
    _, stack = faulty
    bad, *good = ended(stack, [stack.upload(data) for data in (marked(), *[photo()] * 5)])
    assert (bad.state, bad.error["reason"], bad.result) == (State.FAILED, "INTERNAL", {})
    assert not list(stack.objects.list("results", f"predictions/{bad.id}/"))
    assert {one.state for one in good} == {State.SUCCEEDED}
    assert len({one.result["sha256"] for one in good}) == 1


def test_batches_that_do_not_fit_are_split_in_the_same_claim_and_the_limit_is_remembered(
    faulty: tuple[Running, Stack],
) -> None:
    one, stack = faulty
    (one.data / "faults" / "most").write_text("1")
    first = ended(stack, [stack.upload(photo()) for _ in range(PHOTOS)])
    before = tried(one)
    second = ended(stack, [stack.upload(photo()) for _ in range(PHOTOS)])
    (one.data / "faults" / "most").unlink()
    assert {(done.state, done.claims) for done in first + second} == {(State.SUCCEEDED, 1)}
    assert max(before) > 1  # it did not fit
    assert max(tried(one)[len(before) :]) == 1  # it is not tried again


def test_a_broken_device_ends_its_process_and_the_next_one_takes_the_photo(faulty: tuple[Running, Stack]) -> None:
    one, stack = faulty
    prediction = stack.upload(photo())
    pid = one.instances()[0]["pid"]
    (one.data / "faults" / "sticky").touch()
    assert stack.push(prediction).status_code == 503
    wait_for(lambda: all(row["pid"] != pid for row in one.instances()), "the process to end")
    wait_for(lambda: stack.push(prediction).status_code == 204, "another instance to take it")
    done = stack.get(prediction)
    assert (done.state, done.claims) == (State.SUCCEEDED, 2)
    assert one.instances()[0]["pid"] != pid
    assert one.stop() == 0
    died = [(line["status"], line["message"]) for line in one.log() if line["action"] == "died"]
    assert (1, "the device failed; only a new process helps") in died


def test_a_revision_with_a_broken_bundle_leaves_the_old_one_serving(tmp_path: Path) -> None:
    bad = broken_bundle(tmp_path / "bad", STARTER)
    revisions = json.dumps([{"name": "next", "arm": "candidate", "model": str(bad)}])
    with running(tmp_path, "--revisions", revisions, module="local.scaler", MASKLINE_MAX_INSTANCES="2", **CALM) as (
        one,
        stack,
    ):
        before = ended(stack, [stack.upload(photo()) for _ in range(3)])
        pid = one.instances()[0]["pid"]
        for _ in range(2):
            refused = one.push(revision="next")
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            after = ended(stack, [stack.upload(photo()) for _ in range(3)])
            assert {done.state for done in before + after} == {State.SUCCEEDED}
        assert [row["pid"] for row in one.instances() if row["revision"] == "default"] == [pid]
        assert one.stop() == 0
        died = [line for line in one.log() if line["action"] == "died"]
        assert died
        assert {line["revision"] for line in died} == {"next"}
        assert all("sha256 differs" in line["message"] for line in died)
