"""What every queue promises: published once, pushed at least once, to the subscribers that `pipeline.yaml` names."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.envelope import Push
from shared.errors import Malformed, Misconfigured
from tests.contract.queues import Queue
from tests.integration.containers import wait_for

ANYTHING = bytes(range(256)) + "ö\N{CAT}".encode()


def delivered(queue: Queue, message_id: str, count: int = 1) -> list[tuple[str, Push]]:
    def enough() -> list[tuple[str, Push]] | None:
        pushes = queue.subscriber.pushes(message_id)
        return pushes if len(pushes) >= count else None

    found: list[tuple[str, Push]] = wait_for(enough, f"{count} pushes of message {message_id}")
    return found


def lane(lane: str, **more: str) -> dict[str, str]:
    return {"arm": "stable", "lane": lane, **more}


def test_a_message_arrives_as_it_was_published(queue: Queue) -> None:
    attributes = lane("interactive", name="photo-\N{CAT}.jpg", empty="", traceparent="00-1-2-01")
    message_id = queue.topics.publish("segment", ANYTHING, attributes)
    [(path, push)] = delivered(queue, message_id)
    assert path == "/segment/push"
    assert (push.data, push.attributes, push.message_id) == (ANYTHING, attributes, message_id)
    assert push.delivery_attempt == 1


def test_a_message_may_be_attributes_alone(queue: Queue) -> None:
    message_id = queue.topics.publish("uploads", b"", {"eventType": "OBJECT_FINALIZE", "objectId": "a"})
    [(path, push)] = delivered(queue, message_id)
    assert (path, push.data) == ("/accept/", b"")


def test_each_lane_has_its_own_subscription(queue: Queue) -> None:
    ids = {name: queue.topics.publish("segment", b"{}", lane(name)) for name in ("interactive", "bulk")}
    for name, message_id in ids.items():
        [(_, push)] = delivered(queue, message_id)
        assert push.subscription.rpartition("/")[2] == f"segment-stable-{name}"


def test_what_is_refused_comes_again_with_the_same_id(queue: Queue) -> None:
    refused = [queue.topics.publish("segment", b"{}", lane("interactive", failures="2")) for _ in range(3)]
    for message_id in refused:
        pushes = delivered(queue, message_id, 3)
        assert all(push.attributes["failures"] == "2" for _, push in pushes)


def test_nothing_is_lost_among_many_publishers(queue: Queue) -> None:
    def publish(number: int) -> str:
        try:
            return queue.topics.publish("segment", str(number).encode(), lane("bulk"))
        finally:
            queue.hang_up()

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(publish, range(60)))
    assert len(set(ids)) == 60
    assert {delivered(queue, message_id)[0][1].data for message_id in ids} == {str(n).encode() for n in range(60)}


def test_many_at_once_arrive_like_one_after_the_other(queue: Queue) -> None:
    lanes = ["interactive", "bulk"] * 60
    messages = [(str(number).encode(), lane(name)) for number, name in enumerate(lanes)]
    ids = queue.topics.publish_all("segment", messages)
    assert len({str(one) for one in ids}) == 120
    for message_id, name, (data, attributes) in zip(ids, lanes, messages, strict=True):
        [(_, push)] = delivered(queue, str(message_id))
        assert (push.data, push.attributes) == (data, attributes)
        assert push.subscription.rpartition("/")[2] == f"segment-stable-{name}"
    assert list(queue.topics.publish_all("segment", [])) == []


def test_of_many_only_the_bad_one_is_refused(queue: Queue) -> None:
    about = {"eventType": "OBJECT_FINALIZE"}
    ids = queue.topics.publish_all("uploads", [(b"a", about), (b"", {}), (b"c", about)])
    assert isinstance(ids[1], Malformed)
    for number, data in ((0, b"a"), (2, b"c")):
        assert [push.data for _, push in delivered(queue, str(ids[number]))] == [data]


def test_a_message_of_nothing_is_malformed(queue: Queue) -> None:
    with pytest.raises(Malformed):
        queue.topics.publish("uploads", b"", {})


def test_a_topic_that_does_not_exist_is_for_a_person(queue: Queue) -> None:
    with pytest.raises(Misconfigured, match="nobody-made-this"):
        queue.topics.publish("nobody-made-this", b"{}", {})
    outcomes = queue.topics.publish_all("nobody-made-this", [(b"{}", {})] * 2)
    assert [type(outcome) for outcome in outcomes] == [Misconfigured] * 2
