"""The functions' entry points as the framework calls them, in this process, with the golden events."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.local import topics
from shared.events import Uploaded
from shared.prediction import Reason, State
from shared.runtime import runtime
from tests import functions
from tests.domain import PHOTO, copied_id
from tests.events import golden
from tests.integration.containers import Broker, broker, free_port


@dataclass
class Function:
    """One function, its data folder's stores, and the queue that it publishes to."""

    http: functions.Function
    queue: Broker

    def push(self, event: Any) -> int:
        return self.http.post(event)

    def state(self, prediction_id: str) -> State | None:
        snapshot = runtime().store.get(prediction_id)
        return snapshot.prediction.state if snapshot else None


@pytest.fixture(name="queue")
def _queue() -> Iterator[Broker]:
    with broker() as queue:
        yield queue


@pytest.fixture(autouse=True)
def _local_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, queue: Broker) -> Iterator[None]:
    monkeypatch.setenv("MASKLINE_DATA", str(tmp_path))
    monkeypatch.setenv("MASKLINE_BROKER_URL", queue.url)
    for name in ("FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE"):  # the framework leaves them set
        monkeypatch.setenv(name, "")
    yield
    forget_runtime()


def forget_runtime() -> None:
    """The next request reads the settings again."""
    opened: Any = runtime()
    for port in (opened.documents, opened.objects, opened.topics):
        port.close()
    runtime.cache_clear()


@pytest.fixture
def accept(queue: Broker) -> Function:
    return Function(functions.function("accept"), queue)


@pytest.fixture
def settle(queue: Broker) -> Function:
    return Function(functions.function("settle"), queue)


def uploaded(generation: int | None = None) -> tuple[Any, Uploaded]:
    """The golden notification, of another generation if asked for."""
    event = golden("uploaded.push")
    attributes = event["message"]["attributes"]
    if generation is not None:
        attributes["objectGeneration"] = str(generation)
    return event, Uploaded.from_message(b"", attributes)


def stored() -> tuple[Any, str]:
    """A photo under the golden name: its notification and its prediction id."""
    info = runtime().objects.put("uploads", "users/ana/cat.jpg", PHOTO, "image/png")
    event, told = uploaded(info.generation)
    return event, copied_id(told)


# -- accept


def test_an_uploaded_photo_is_queued_and_published(accept: Function) -> None:
    event, name = stored()
    assert accept.push(event) == 200
    assert accept.state(name) is State.QUEUED
    ((topic, body),) = accept.queue.published
    assert (topic, body["predictionId"]) == ("segment", name)


def test_a_notification_of_what_is_gone_still_gets_its_outcome(accept: Function) -> None:
    event, told = uploaded()
    assert accept.push(event) == 200
    snapshot = runtime().store.get(copied_id(told))
    assert snapshot is not None
    assert snapshot.prediction.error["reason"] == Reason.SOURCE_MISSING
    assert accept.queue.published == []


@pytest.mark.parametrize(
    "attributes",
    [{}, {"bucketId": "uploads"}, {"bucketId": "b", "objectId": "o", "objectGeneration": "x"}, {"bucketId": 7}],
)
def test_malformed_notifications_are_logged_and_acked(
    accept: Function, attributes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    event = golden("uploaded.push")
    event["message"]["attributes"] = attributes
    assert accept.push(event) == 200
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["action"] == "malformed"


def test_what_is_no_push_is_refused(accept: Function) -> None:
    assert accept.push({"hello": "world"}) == 400


def test_no_page_in_a_browser_can_push(accept: Function) -> None:
    assert accept.http.post(golden("uploaded.push"), {"origin": "https://example.com"}) == 403


def test_while_the_queue_is_down_the_notification_comes_again(
    accept: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_ATTEMPTS", 2)
    event, name = stored()
    forget_runtime()
    monkeypatch.setenv("MASKLINE_BROKER_URL", f"http://127.0.0.1:{free_port()}")
    assert accept.push(event) == 500
    assert accept.state(name) is State.QUEUED
    forget_runtime()
    monkeypatch.setenv("MASKLINE_BROKER_URL", accept.queue.url)
    assert accept.push(event) == 200
    assert len(accept.queue.published) == 1


# -- settle


def test_a_tick_repairs_what_is_stuck(accept: Function, settle: Function) -> None:
    event, name = stored()
    accept.push(event)
    past = datetime(2026, 1, 1, tzinfo=UTC)
    runtime().store.update(name, lambda stored, _: replace(stored, deadline=past))
    assert settle.push(golden("tick.push")) == 200
    assert settle.state(name) is State.EXPIRED


def test_a_tick_after_the_loss_of_the_queue_publishes_what_is_unfinished(accept: Function, settle: Function) -> None:
    event, _ = stored()
    accept.push(event)
    tick = golden("tick.push")
    assert settle.push(tick) == 200
    assert len(settle.queue.published) == 1
    tick["message"]["attributes"]["queueLost"] = "true"
    assert settle.push(tick) == 200
    assert len(settle.queue.published) == 2


def test_the_dead_letter_of_an_upload_is_accepted(settle: Function) -> None:
    event, name = stored()
    event["subscription"] = "projects/maskline/subscriptions/settle-uploads-dead"
    assert settle.push(event) == 200
    assert settle.state(name) is State.QUEUED


def test_the_dead_letter_of_a_photo_is_published_again(accept: Function, settle: Function) -> None:
    event, name = stored()
    accept.push(event)
    dead = golden("segment-requested.v1.dead.push")
    assert settle.push(dead) == 200  # of a photo that nobody knows
    assert len(settle.queue.published) == 1
    body = {"predictionId": name, "bucket": "uploads", "object": "users/ana/cat.jpg", "generation": "1"}
    dead["message"]["data"] = base64.b64encode(json.dumps(body).encode()).decode()
    assert settle.push(dead) == 200
    assert [body["predictionId"] for _, body in settle.queue.published] == [name, name]
