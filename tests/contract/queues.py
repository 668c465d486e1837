"""Rows for the topics contract: a queue wired as `pipeline.yaml` says, and a subscriber that stands for every stage."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.broker.routes import routes_of
from local.pubsub.admin import create
from local.pubsub.wiring import resources
from local.stack import free_ports
from shared import pipeline
from shared.adapters.google.topics import PubSubTopics, by_arm_and_lane
from shared.adapters.local.topics import LocalTopics
from shared.ports import Topics
from shared.settings import Settings
from tests.contract import emulators
from tests.contract.subscriber import Subscriber, listening
from tests.integration.containers import wait_for


@dataclass(frozen=True, slots=True)
class Queue:
    """One adapter, and what its subscribers got. A thread that has published calls `hang_up` before it ends."""

    topics: Topics
    subscriber: Subscriber
    hang_up: Callable[[], None]


@contextmanager
def local_queue(folder: Path) -> Iterator[Queue]:
    """The embedded broker as its own process."""
    with listening() as subscriber:
        [port] = free_ports(1)
        settings = Settings.from_env({}, data=folder, broker_url=f"http://127.0.0.1:{port}")
        endpoints = str(subscriber.endpoints()).replace("'", '"')
        command = [sys.executable, "-m", "local.broker", "--port", str(port), "--endpoints", endpoints]
        process = subprocess.Popen(command, env=settings.environment() | {"PYTHONPATH": os.getcwd()})
        try:
            wait_for(lambda: _healthy(settings.broker_url), "the broker did not start")
            topics = LocalTopics(settings.broker_url, settings.project)
            yield Queue(topics, subscriber, topics.close)
            topics.close()
        finally:
            process.kill()
            process.wait()


@contextmanager
def pubsub_queue(folder: Path) -> Iterator[Queue]:
    """The Pub/Sub emulator."""
    host = emulators.pubsub()
    with listening() as subscriber:
        settings = Settings.from_env({}, data=folder, project=emulators.new_project())
        table = pipeline.load()
        routes = routes_of(table, settings, subscriber.endpoints())
        create(f"http://{host}", settings.project, resources(settings.project, table.topics, routes))
        topics = PubSubTopics(settings.project, host, by_arm_and_lane)
        yield Queue(topics, subscriber, lambda: None)
        topics.close()


def _healthy(url: str) -> bool:
    try:
        return httpx.get(url + "/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
