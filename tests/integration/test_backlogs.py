"""The audit over the real broker: what waits there is seen, while it runs and after it has stopped or was killed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from local import backlogs
from local.backlogs import RunningBroker, StoppedBroker, backlogs_of
from shared.accept import TOPIC, requested
from shared.audit import Report, audit
from shared.errors import Misconfigured, Retryable
from shared.ports import Messages, Waiting
from shared.prediction import Prediction
from tests.domain import World, world
from tests.integration import brokers
from tests.integration.brokers import Process, Subscriber, subscriber
from tests.integration.containers import free_port, wait_for

EVER = datetime(2020, 1, 1, tzinfo=UTC)
SOON = 60.0  # s: within every grace
LATER = 200.0  # s: more than what settle and the broker need, less than any deadline
LATE = 400.0  # s: and more than a push to settle may take


@pytest.fixture
def refusing() -> Iterator[Subscriber]:
    """Who acknowledges nothing but ticks: what is published stays."""
    with subscriber() as found:
        found.answer = lambda push: (204 if "schedule" in push.attributes else 503, {})
        yield found


@pytest.fixture
def domain(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "data") as made:
        yield made


@pytest.fixture
def broker(domain: World, refusing: Subscriber) -> Iterator[Process]:
    with brokers.started(domain.settings.data, refusing.url) as started:
        yield started


def send(broker: Process, prediction: Prediction, topic: str = TOPIC) -> None:
    data, attributes = requested(prediction).to_message()
    broker.publish(topic, [data.decode()], **attributes)


def after(seconds: float, domain: World, seen: Messages) -> Report:
    """The audit's report, had all this been so for that long."""
    domain.documents.ahead = timedelta(seconds=seconds)
    return audit(domain.runtime, domain.now, replace(seen, as_of=seen.as_of + timedelta(seconds=seconds), since=EVER))


def stopped(domain: World) -> Messages:
    return StoppedBroker(domain.settings.data / "broker.db").look()


def photos(seen: Messages) -> list[Waiting]:
    """Without the ticks, which come and go."""
    return [one for one in seen.waiting if "schedule" not in one.attributes]


def names(seen: Messages) -> list[tuple[str, str]]:
    return sorted((one.subscription, one.attributes["predictionId"]) for one in photos(seen))


# -- what is seen


def test_a_running_broker_is_asked_and_a_stopped_one_read(domain: World, broker: Process) -> None:
    prediction = domain.queued()
    began = datetime.now(UTC)
    send(broker, prediction)
    send(broker, prediction, "segment-dead")
    there = RunningBroker(broker.url).look()
    assert names(there) == [("segment-stable-interactive", prediction.id), ("settle-segment-dead", prediction.id)]
    assert all(abs(one.publish_time - began) < timedelta(seconds=SOON) for one in photos(there))
    assert there.since <= began <= there.as_of + timedelta(seconds=1)
    assert broker.stop() == 0
    left = stopped(domain)
    assert names(left) == names(there)
    assert abs(left.since - there.since) < timedelta(seconds=0.01)
    assert there.since < left.as_of <= datetime.now(UTC)


def test_a_killed_broker_is_read_with_its_log_and_goes_on_afterwards(
    domain: World, refusing: Subscriber, broker: Process
) -> None:
    send(broker, domain.queued())
    broker.kill()
    first = stopped(domain)
    time.sleep(0.05)
    again = stopped(domain)
    assert names(first) == names(again) != []
    assert first.as_of == again.as_of, "time goes on for a queue that has stopped"
    with brokers.started(domain.settings.data, refusing.url) as restarted:
        there = RunningBroker(restarted.url).look()
        assert names(there) == names(first)
        assert there.since > first.since


def test_more_than_a_page_is_seen(domain: World, broker: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    broker.publish("segment", [str(number) for number in range(999)], arm="stable", lane="bulk")
    broker.publish("segment", [str(number) for number in range(999)], arm="stable", lane="interactive")
    assert len({one.id for one in photos(RunningBroker(broker.url).look())}) == 2 * 999
    broker.stop()
    monkeypatch.setattr(backlogs, "_PAGE", 7)
    assert len({one.id for one in photos(stopped(domain))}) == 2 * 999


def test_odd_attributes_are_told_as_they_are(domain: World, broker: Process) -> None:
    odd = {"predictionId": "half \udc80 \n", "arm": "stable", "lane": "bulk"}
    body = '{"messages": [{"attributes": {"predictionId": "half \\udc80 \\n", "arm": "stable", "lane": "bulk"}}]}'
    path = f"{broker.url}/v1/projects/maskline-local/topics/segment:publish"
    assert httpx.post(path, content=body).status_code == 200
    [one] = photos(RunningBroker(broker.url).look())
    assert one.attributes == odd
    [line] = after(LATER, domain, RunningBroker(broker.url).look()).unexpected
    assert line.endswith(r"there is no prediction 'half \udc80 \n'")


@pytest.mark.parametrize("after", ["x", "1e3", "", "9" * 5000])
def test_a_page_after_nothing_sensible_is_refused(broker: Process, after: str) -> None:
    assert broker.get(f"/v1/waiting?after={after}").status_code == 400


@pytest.mark.parametrize("after", ["-1", "9" * 30])
def test_any_number_is_a_place_to_go_on_from(broker: Process, after: str) -> None:
    assert broker.get(f"/v1/waiting?after={after}").json()["messages"] == []


# -- what is found


def test_a_photo_whose_message_waits_is_fine(domain: World, broker: Process) -> None:
    send(broker, domain.queued())
    assert after(LATER, domain, RunningBroker(broker.url).look()).clean


def test_a_lost_message_is_found(domain: World, broker: Process) -> None:
    lost = domain.queued()
    seen = RunningBroker(broker.url).look()
    assert after(SOON, domain, seen).clean
    assert after(LATER, domain, seen) == Report(missing=[f"{lost.id} QUEUED: no message for it waits anywhere"])
    broker.stop()
    assert after(LATER, domain, stopped(domain)).missing == [f"{lost.id} QUEUED: no message for it waits anywhere"]


def test_a_dead_letter_that_nobody_takes_is_found_with_its_prediction(domain: World, broker: Process) -> None:
    prediction = domain.queued()
    send(broker, prediction, "segment-dead")
    seen = RunningBroker(broker.url).look()
    assert after(LATER, domain, seen).clean
    [line] = after(LATE, domain, seen).stuck
    assert f"of settle-segment-dead for {prediction.id} QUEUED: waits since" in line


def test_a_message_of_an_ended_photo_is_left_over(domain: World, broker: Process) -> None:
    prediction = domain.queued()
    send(broker, prediction)
    assert domain.worker(prediction).finish()
    broker.kill()
    seen = stopped(domain)
    assert after(SOON, domain, seen).clean
    [line] = after(LATER, domain, seen).unexpected
    assert line.endswith(f"{prediction.id} SUCCEEDED ended long ago")


def test_ticks_come_and_go(domain: World, refusing: Subscriber) -> None:
    with brokers.started(domain.settings.data, refusing.url, sweep_seconds=0.2) as broker:
        wait_for(lambda: len(refusing.pushes) > 2, "no ticks came")
        assert after(SOON, domain, RunningBroker(broker.url).look()).clean


# -- what cannot be looked at


def test_no_queue_yet(domain: World) -> None:
    with pytest.raises(Misconfigured, match="no stack ran"):
        backlogs_of(domain.settings).look()


def test_a_file_that_a_broker_holds_is_not_read(
    domain: World, broker: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlogs, "_BUSY", 0.1)
    with pytest.raises(Retryable, match="cannot be read now"):
        stopped(domain)
    assert broker.get("/healthz").status_code == 200


@pytest.mark.parametrize("content", [b"", b"not a database " * 1000])
def test_a_file_that_is_no_queue_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broker.db").write_bytes(content)
    with pytest.raises(Retryable, match="cannot be read now"):
        StoppedBroker(tmp_path / "broker.db").look()


def test_a_broker_that_is_away_for_a_moment_is_waited_for(
    domain: World, refusing: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlogs, "_PAUSE", 0.01)
    with pytest.raises(Retryable, match="cannot be reached"):
        backlogs_of(replace(domain.settings, broker_url=f"http://127.0.0.1:{free_port()}")).look()


def test_a_file_of_an_older_release_accuses_nobody(domain: World, broker: Process, tmp_path: Path) -> None:
    """It does not say since when its broker ran."""
    import sqlite3

    domain.queued()
    broker.stop()
    copy = tmp_path / "older.db"
    shutil.copy(domain.settings.data / "broker.db", copy)
    with sqlite3.connect(copy) as file:
        file.execute("DELETE FROM facts WHERE name LIKE 'since %'")
    file.close()
    seen = StoppedBroker(copy).look()
    assert seen.since == seen.as_of
