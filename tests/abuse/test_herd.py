"""Many photos and nobody there to take them: nothing is lost, and no refusal makes a dead letter."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.domain import world
from tests.integration.brokers import Answer, Pushed, running, subscriber, until

PHOTOS = 200
CLOSED = 1.5  # s from the first push until an instance is there


def test_a_herd_at_a_closed_door_loses_nothing_and_buries_nothing(tmp_path: Path) -> None:
    taken: list[str] = []

    async def steps() -> None:
        with subscriber() as instance:
            opens = time.monotonic() + CLOSED

            def answer(push: Pushed) -> Answer:
                if time.monotonic() < opens:
                    return 429, {"retry-after": "0"}
                taken.append(push.text)
                return 204, {}

            instance.answer = answer
            async with running(tmp_path, instance.url, retry_min=0.001, retry_max=0.01) as broker:
                items = [(str(number).encode(), {"user": "ana"}) for number in range(PHOTOS)]
                await broker.publish("work", items)
                await until(lambda: broker.queues["work"].backlog == 0, "the herd to be taken")
                assert broker.counts["nacked", "work"] > 0
                assert broker.counts["dead_lettered", "work"] == 0

    asyncio.run(steps())
    assert sorted(taken, key=int) == [str(number) for number in range(PHOTOS)]


def test_a_message_does_not_tell_whose_photo_it_is(tmp_path: Path) -> None:
    with world(tmp_path) as stage:
        for name in ("users/ana@example.com/1.png", "users/ana@example.com/2.png", "users/bob/1.png"):
            stage.queued(name)
        users = [attributes["user"] for _, _, attributes in stage.queue.messages]
        assert users[0] == users[1] != users[2]
        assert all("ana" not in user and "bob" not in user for user in users)
