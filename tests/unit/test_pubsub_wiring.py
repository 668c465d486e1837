"""The emulator's wiring is the pipeline table's, but for what the emulator cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.broker.routes import Route, routes_of
from local.broker.schedules import Tick
from local.pubsub.scheduler import Scheduler
from local.pubsub.wiring import resources, topic_of
from shared import pipeline
from shared.adapters.google.topics import SPLIT, by_arm_and_lane
from shared.errors import Misconfigured
from shared.logs import Log
from shared.settings import Settings
from tests.contract.subscriber import STAGES
from tests.domain import OneByOne

SETTINGS = Settings.from_env({"MASKLINE_DATA": str(Path("nowhere"))})
ENDPOINTS = {stage: f"http://127.0.0.1:1/{stage}" for stage in STAGES}


def routes() -> list[Route]:
    return routes_of(pipeline.load(), SETTINGS, ENDPOINTS)


def wired() -> dict[str, dict[str, Any]]:
    return dict(resources("p", pipeline.load().topics, routes()))


def test_a_message_reaches_the_subscriptions_that_the_filters_would_choose() -> None:
    split = [route for route in routes() if route.topic == SPLIT]
    for arm in {route.name.split("-")[1] for route in split}:
        for lane in ("interactive", "bulk"):
            attributes = {"arm": arm, "lane": lane}
            chosen = [route.name for route in split if route.matches(attributes)]
            reached = [route.name for route in split if topic_of(route) == by_arm_and_lane(SPLIT, attributes)]
            assert chosen == reached
            assert len(chosen) == 1


def test_other_topics_keep_their_name() -> None:
    assert by_arm_and_lane("uploads", {"arm": "stable", "lane": "bulk"}) == "uploads"
    assert {topic_of(route) for route in routes() if route.topic != SPLIT} <= set(pipeline.load().topics)


def test_every_subscription_is_there_with_its_dead_letter_topic_and_no_retry_policy() -> None:
    made = wired()
    assert {f"subscriptions/{route.name}" for route in routes()} <= set(made)
    for path, body in made.items():
        if path.startswith("subscriptions/"):
            assert "retryPolicy" not in body
            assert body["topic"].removeprefix("projects/p/") in made
            assert body["deadLetterPolicy"]["deadLetterTopic"].removeprefix("projects/p/") in made


def test_topics_come_before_what_points_at_them() -> None:
    paths = [path.split("/")[0] for path in wired()]
    assert paths == sorted(paths, reverse=True)


class Emulator(OneByOne):
    """Forgets its topics when told to, and remembers the ticks."""

    def __init__(self) -> None:
        self.topics = False
        self.ticks: list[dict[str, str]] = []

    def create(self) -> bool:
        missing, self.topics = not self.topics, True
        return missing

    def publish(self, topic: str, data: bytes, attributes: Any) -> str:
        if not self.topics:
            raise Misconfigured("no such topic")
        self.ticks.append(dict(attributes))
        return "1"


def test_an_emulator_that_lost_everything_is_wired_again_and_the_next_tick_says_so() -> None:
    emulator, tick = Emulator(), Tick("sweep", "sweep", 5.0)
    scheduler = Scheduler(emulator.create, emulator, Log("scheduler", write=lambda _: None))
    lost, again = {"schedule": "sweep", "queueLost": "true"}, {"schedule": "sweep"}
    scheduler.tick(tick)
    scheduler.tick(tick)
    assert emulator.ticks == [lost, again]
    emulator.topics = False
    with pytest.raises(Misconfigured):
        scheduler.tick(tick)
    assert not scheduler.wired
    scheduler.tick(tick)
    assert emulator.ticks == [lost, again, lost]
