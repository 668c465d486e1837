"""The embedded broker, pushing over HTTP: Pub/Sub's rules, and nothing lost whatever dies."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from local.broker.publish import MAX_BYTES, MAX_MESSAGES
from local.broker.window import FIRST
from tests.events import golden
from tests.integration.brokers import Answer, Process, Pushed, Subscriber, running, start, started, subscriber, until
from tests.integration.containers import PATIENCE, wait_for

UPLOADED = {"eventType": "OBJECT_FINALIZE"}


@pytest.fixture(name="client")
def _client() -> Iterator[Subscriber]:
    with subscriber() as client:
        yield client


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test)


def items(*texts: str, **attributes: str) -> list[tuple[bytes, dict[str, str]]]:
    return [(text.encode(), attributes) for text in texts]


# -- acks and nacks


def test_a_refused_push_comes_again_until_it_is_acked(tmp_path: Path, client: Subscriber) -> None:
    """Many in a row: each waits for a timer of its own."""
    client.answer = lambda push: (500, {}) if push.attempt < 4 else (204, {})

    async def test() -> None:
        async with running(tmp_path, client.url) as broker:
            for number in range(8):
                await broker.publish("work", items(str(number)))
                await until(lambda: not broker.queues["work"].backlog, "the retry never came")
        assert client.texts() == [str(number) for number in range(8) for _ in range(4)]
        assert [push.attempt for push in client.pushes] == [1, 2, 3, 4] * 8

    run(test())


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_an_ack(tmp_path: Path, client: Subscriber, status: int) -> None:
    client.answer = lambda _: (status, {})

    async def test() -> None:
        async with running(tmp_path, client.url) as broker:
            await broker.publish("work", items("a"))
            await until(lambda: not broker.queues["work"].backlog, "it was not acked")

    run(test())
    assert client.texts() == ["a"]


@pytest.mark.parametrize("status", [300, 400, 404, 429, 503])
def test_everything_else_is_a_nack(tmp_path: Path, client: Subscriber, status: int) -> None:
    client.answer = lambda push: (status, {}) if push.attempt == 1 else (204, {})

    async def test() -> None:
        async with running(tmp_path, client.url) as broker:
            await broker.publish("work", items("a"))
            await until(lambda: not broker.queues["work"].backlog, "it did not come again")

    run(test())
    assert client.texts() == ["a", "a"]


def test_retries_wait_at_least_their_backoff_and_their_retry_after(tmp_path: Path, client: Subscriber) -> None:
    times: list[float] = []

    def answer(push: Pushed) -> Answer:
        times.append(time.monotonic())
        return {1: (503, {}), 2: (429, {"retry-after": "0.8"})}.get(push.attempt, (204, {}))

    client.answer = answer

    async def test() -> None:
        async with running(tmp_path, client.url, retry_min=0.3, retry_max=0.3) as broker:
            await broker.publish("work", items("a"))
            await until(lambda: not broker.queues["work"].backlog, "it did not come again")

    run(test())
    first, second, third = times
    assert second - first >= 0.29
    assert third - second >= 0.79


def test_a_push_without_an_answer_comes_again_after_its_deadline(tmp_path: Path, client: Subscriber) -> None:
    hung = threading.Event()

    def answer(push: Pushed) -> Answer:
        if push.attempt == 1:
            hung.wait(PATIENCE)
        return 204, {}

    client.answer = answer

    async def test() -> None:
        async with running(tmp_path, client.url, ack_deadline=0.2) as broker:
            await broker.publish("work", items("a"))
            await until(lambda: not broker.queues["work"].backlog, "it did not come again")

    run(test())
    hung.set()
    assert [push.attempt for push in client.pushes] == [1, 2]


def test_an_endpoint_that_is_down_is_waited_for(tmp_path: Path) -> None:
    async def test() -> None:
        with subscriber() as gone:
            pass
        async with running(tmp_path, gone.url) as broker:
            await broker.publish("work", items("a"))
            await until(lambda: broker.counts["nacked", "work"] >= 2, "it was not tried")
            assert broker.queues["work"].backlog == 1

    run(test())
    with subscriber() as client:

        async def later() -> None:
            async with running(tmp_path, client.url) as broker:
                await until(lambda: not broker.queues["work"].backlog, "it did not come again")

        run(later())
        assert client.texts() == ["a"]
        assert client.pushes[0].attempt >= 3  # attempts are remembered


# -- dead letters and filters


def test_what_is_never_acked_ends_as_a_dead_letter(tmp_path: Path, client: Subscriber) -> None:
    client.answer = lambda push: (204, {}) if push.path == "/dead" else (500, {})

    async def test() -> None:
        async with running(tmp_path, client.url, max_delivery_attempts=3) as broker:
            await broker.publish("work", items("a", key="value"))
            await until(lambda: client.texts("/dead"), "no dead letter came")
            await until(lambda: not broker.queues["dead"].backlog, "the dead letter was not acked")
            assert broker.counts["dead_lettered", "work"] == 1
            assert broker.store.counts().get("work", 0) == 0

    run(test())
    assert len(client.texts("/push")) == 3
    (letter,) = [push for push in client.pushes if push.path == "/dead"]
    published = letter.attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime")
    assert letter.attributes == {
        "key": "value",
        "CloudPubSubDeadLetterSourceDeliveryCount": "3",
        "CloudPubSubDeadLetterSourceSubscription": "work",
        "CloudPubSubDeadLetterSourceSubscriptionProject": "p",
    }
    assert published.endswith("Z")
    assert letter.text == "a"


def test_a_subscription_gets_what_its_filter_lets_through(tmp_path: Path, client: Subscriber) -> None:
    async def test() -> None:
        async with running(tmp_path, client.url, filter='attributes.arm = "stable"') as broker:
            await broker.publish("work", items("no", arm="canary") + items("no") + items("yes", arm="stable"))
            await until(lambda: client.pushes, "nothing came")
            assert broker.queues["work"].backlog <= 1

    run(test())
    assert client.texts() == ["yes"]


def test_what_is_older_than_the_retention_is_not_delivered(tmp_path: Path, client: Subscriber) -> None:
    client.answer = lambda _: (500, {})

    async def test() -> None:
        async with running(tmp_path, client.url, retention=0.5) as broker:
            await broker.publish("work", items("a"))
            await until(lambda: not broker.queues["work"].backlog, "it was never dropped")
            assert broker.counts["expired", "work"] == 1

    run(test())


# -- flow control


def test_no_more_is_out_than_the_subscription_allows(tmp_path: Path, client: Subscriber) -> None:
    async def test() -> None:
        async with running(tmp_path, client.url, max_outstanding=3) as broker:
            await broker.publish("work", items(*map(str, range(100))))
            await until(lambda: not broker.queues["work"].backlog, "not everything was delivered")

    run(test())
    assert sorted(client.texts(), key=int) == [str(number) for number in range(100)]
    assert client.most <= 3


def test_a_new_subscription_starts_slowly(tmp_path: Path, client: Subscriber) -> None:
    go = threading.Semaphore(0)

    def answer(_: Pushed) -> Answer:
        go.acquire(timeout=PATIENCE)
        return 204, {}

    client.answer = answer

    async def test() -> None:
        async with running(tmp_path, client.url, max_outstanding=1000) as broker:
            await broker.publish("work", items(*map(str, range(100))))
            await until(lambda: len(client.pushes) == FIRST, "the first pushes did not come")
            assert broker.queues["work"].outstanding == FIRST
            go.release(FIRST)
            await until(lambda: len(client.pushes) == 3 * FIRST, "the window did not grow")
            assert broker.queues["work"].outstanding == 2 * FIRST
            go.release(200)
            await until(lambda: not broker.queues["work"].backlog, "not everything was delivered")

    run(test())


# -- the real process


def test_a_push_has_the_form_of_pubsubs(tmp_path: Path, client: Subscriber) -> None:
    sample = golden("segment-requested.v1.push")
    with started(tmp_path, client.url, lease_seconds=1, ack_deadline_seconds=2) as broker:
        message = {key: sample["message"][key] for key in ("data", "attributes")}
        answer = broker.post("segment", {"messages": [message]})
        (push,) = wait_for(lambda: [one for one in client.pushes if one.path == "/segment/push"], "no push came")
        assert answer.json() == {"messageIds": [push.envelope["message"]["messageId"]]}
        assert push.envelope.keys() == sample.keys()
        assert push.envelope["message"].keys() == sample["message"].keys()
        assert {key: push.envelope["message"][key] for key in message} == message
        assert push.envelope["subscription"] == "projects/maskline-local/subscriptions/segment-stable-interactive"
        assert push.attempt == 1


def test_publish_requests_are_checked(tmp_path: Path, client: Subscriber) -> None:
    with started(tmp_path, client.url) as broker:
        fine = {"messages": [{"data": "YQ=="}]}
        assert broker.post("nowhere", fine).status_code == 404
        assert broker.post("segment", fine, project="other").status_code == 404
        odd: list[Any] = [{}, {"messages": []}, {"messages": [{}]}, {"messages": [{"data": "&"}]}, [1], {"messages": 1}]
        for body in odd:
            assert broker.post("segment", body).status_code == 400, body
        assert broker.post("segment", {"messages": [{"data": "YQ=="}] * (MAX_MESSAGES + 1)}).status_code == 400
        answer = broker.post("segment", {"messages": [{"data": "A" * MAX_BYTES}]})
        assert (answer.status_code, answer.json()["error"]["status"]) == (413, "INVALID_ARGUMENT")
        assert broker.post("segment", fine).status_code == 200
        numbers = broker.get("/v1/stats").json()
        assert numbers["published"]["segment"] == 1
        assert 'maskline_broker_published_total{topic="segment"} 1' in broker.get("/metrics").text
        assert broker.stop() == 0


def test_a_killed_broker_loses_nothing(tmp_path: Path, client: Subscriber) -> None:
    gate = threading.Semaphore(100)  # then the subscriber hangs, until the broker has died

    def answer(_: Pushed) -> Answer:
        gate.acquire(timeout=PATIENCE)
        return 204, {}

    client.answer = answer
    sent = [str(number) for number in range(500)]
    with started(tmp_path, client.url) as broker:
        for at in range(0, len(sent), 50):
            broker.publish("uploads", sent[at : at + 50], **UPLOADED)
        wait_for(lambda: len(client.texts("/accept/")) > 100, "nothing was delivered")
        broker.kill()
    assert len(set(client.texts("/accept/"))) < len(sent)
    gate.release(2 * len(sent))
    with started(tmp_path, client.url):
        wait_for(lambda: len(set(client.texts("/accept/"))) == len(sent), "a message was lost")


def test_the_loss_of_the_queue_is_told_until_it_is_heard(tmp_path: Path, client: Subscriber) -> None:
    def ticks() -> list[dict[str, str]]:
        return [push.attributes for push in client.pushes if push.path == "/settle/"]

    lost = {"schedule": "sweep", "queueLost": "true"}
    client.answer = lambda _: (503, {})
    with started(tmp_path, client.url):
        wait_for(ticks, "no tick came")
    client.answer = lambda _: (204, {})
    client.pushes.clear()
    with started(tmp_path, client.url) as broker:
        wait_for(lambda: ticks() and heard(broker), "no tick was acked")
        assert broker.stop() == 0
    assert all(tick == lost for tick in ticks())
    client.pushes.clear()
    with started(tmp_path, client.url):
        wait_for(ticks, "no tick came")
    assert ticks()[0] == {"schedule": "sweep"}
    for file in tmp_path.glob("broker.db*"):
        file.unlink()
    client.pushes.clear()
    with started(tmp_path, client.url):
        wait_for(ticks, "no tick came")
    assert ticks()[0] == lost


def heard(broker: Process) -> bool:
    backlog: int = broker.get("/v1/stats").json()["subscriptions"]["settle-sweep"]["backlog"]
    return backlog == 0


def test_a_damaged_database_is_one_clear_line_and_a_failure(tmp_path: Path, client: Subscriber) -> None:
    (tmp_path / "broker.db").write_bytes(b"no database" * 1000)
    process = start(tmp_path, client.url).process
    out, err = process.communicate(timeout=PATIENCE)
    (line,) = err.splitlines()
    assert (process.returncode, out) == (1, "")
    assert line.startswith("broker.db is damaged: move it away")


def test_endpoints_that_are_missing_are_one_clear_line(tmp_path: Path, client: Subscriber) -> None:
    for endpoints, told in (("{", "--endpoints is not JSON"), (json.dumps({"accept": client.url}), "no endpoint")):
        process = start(tmp_path, client.url, endpoints=endpoints).process
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert told in err
