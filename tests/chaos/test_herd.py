"""2,000 uploads meet zero instances: none is lost, none becomes a dead letter, and a second user hardly waits."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.e2e.photos import photo
from tests.e2e.stacks import Stack, stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]
PHOTOS = 2000
SENDERS = 16


def send(running: Stack, user: str, data: bytes) -> str:
    made = running.user(user).create("image/jpeg", len(data), str(uuid.uuid4()))
    running.user(user).upload(made, data)
    return str(made["id"])


def dead_letters(running: Stack) -> float:
    lines = httpx.get(f"{running.url}/metrics", timeout=30).text.splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("maskline_broker_dead_lettered_total{")
    )


def test_a_herd_of_two_thousand_on_zero_instances(tmp_path: Path) -> None:
    data = photo("chelsea", (96, 64))
    with stack(tmp_path, MASKLINE_CACHE="off") as running:
        running.user("ana"), running.user("bob")
        began = time.monotonic()
        with ThreadPoolExecutor(SENDERS) as threads:
            sent = list(threads.map(lambda _: send(running, "ana", data), range(PHOTOS)))
            alone = time.monotonic()
            waited_for = running.user("bob").wait(send(running, "bob", data))
            bob = time.monotonic() - alone
        ended = running.ended("ana", PHOTOS)
        drained = time.monotonic() - began
        assert waited_for["state"] == "SUCCEEDED"
        assert {one["id"] for one in ended} == set(sent)
        assert {one["state"] for one in ended} == {"SUCCEEDED"}
        assert dead_letters(running) == 0
        assert running.audit() == {"missing": [], "duplicated": [], "unexpected": [], "stuck": []}
    print(json.dumps({"photos": PHOTOS, "drained_seconds": round(drained, 1), "second_user_seconds": round(bob, 2)}))
