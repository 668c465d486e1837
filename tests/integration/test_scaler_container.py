"""The scaler over real containers with the starter model: a message becomes a mask, also when an instance is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects
from shared.prediction import Prediction, State
from tests.integration.containers import Container, broker, photo, wait_for
from tests.integration.scalers import Running, scaler
from tests.integration.test_container_queue import Stack

PATIENT = {"MASKLINE_LEASE_SECONDS": "4", "MASKLINE_MAX_CLAIMS": "20"}  # on a busy machine work may be late, too


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[tuple[Running, Stack]]:
    """The scaler takes the container's place: it has the same `/push`."""
    with broker() as queue, scaler(folder, module="local.scaler", MASKLINE_BROKER_URL=queue.url, **settings) as one:
        container = Container(one.process, one.url)
        yield one, Stack(container, queue, LocalDocuments(folder / "documents.db"), LocalObjects(folder))


def test_a_message_starts_an_instance_and_ends_in_a_mask(tmp_path: Path) -> None:
    with running(tmp_path) as (one, stack):
        prediction = stack.upload(photo())
        assert stack.push(prediction).status_code == 204
        ended = stack.get(prediction)
        assert (ended.state, ended.claims) == (State.SUCCEEDED, 1)
        assert ended.timings["coldStart"] > 0
        assert len(stack.documents.query("instances")) == len(one.instances()) == 1
        assert one.stop() == 0
        assert stack.documents.query("instances") == []


def test_photos_of_a_killed_instance_are_taken_up_after_the_lease(tmp_path: Path) -> None:
    with running(tmp_path, **PATIENT) as (one, stack), ThreadPoolExecutor(24) as threads:
        stack.push(stack.upload(photo()))  # now one is warm
        predictions = [stack.upload(photo()) for _ in range(16)]
        answers = [threads.submit(stack.push, prediction) for prediction in predictions]
        wait_for(lambda: claimed(stack, predictions), "nothing was claimed")
        os.kill(cast(int, one.instances()[0]["pid"]), signal.SIGKILL)
        codes = [answer.result().status_code for answer in answers]
        assert set(codes) <= {204, 503}
        assert 503 in codes
        for prediction in predictions:
            wait_for(lambda: stack.push(prediction).status_code == 204, "it is not taken up")  # noqa: B023 - called here
        assert {stack.get(prediction).state for prediction in predictions} == {State.SUCCEEDED}
        assert max(stack.get(prediction).claims for prediction in predictions) >= 2


def claimed(stack: Stack, predictions: list[Prediction]) -> bool:
    return any(stack.get(prediction).state is State.RUNNING for prediction in predictions)
