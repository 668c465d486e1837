"""2,000 photos meet zero instances: none is lost, none becomes a dead letter, and a second user hardly waits."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path

import httpx
import pytest

from shared.adapters.local.objects import LocalObjects
from tests.e2e.photos import photo
from tests.e2e.stacks import Stack, stack, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]
PHOTOS = 2000


def fill(data: Path, count: int) -> None:
    """The bucket of a stack that is not running: every notification waits, to be sent at the same moment."""
    objects = LocalObjects(data)
    picture = photo("chelsea", (96, 64))
    for number in range(count):
        objects.put("uploads", f"users/ana/{number}.jpg", picture, "image/jpeg")
    objects.close()


def send(running: Stack, user: str) -> dict[str, object]:
    """One photo through the API, followed to its end."""
    data = photo("chelsea", (96, 64))
    made = running.user(user).create("image/jpeg", len(data), str(uuid.uuid4()))
    running.user(user).upload(made, data)
    return running.user(user).wait(made["id"])


def dead_letters(running: Stack) -> float:
    lines = httpx.get(f"{running.url}/metrics", timeout=30).text.splitlines()
    name = "maskline_broker_dead_lettered_total{"
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def test_a_herd_of_two_thousand_on_zero_instances(tmp_path: Path) -> None:
    fill(tmp_path, PHOTOS)
    with stack(tmp_path, MASKLINE_CACHE="off") as running:
        began = time.monotonic()
        wait_for(lambda: next(running.user("ana").list(), None), "the herd to arrive")
        sent = time.monotonic()
        assert send(running, "bob")["state"] == "SUCCEEDED"
        second = time.monotonic() - sent
        waiting = sum(one["state"] != "SUCCEEDED" for one in running.user("ana").list())
        ended = wait_for(lambda: all_ended(running), "the herd to end", 1500)
        drained = time.monotonic() - began
        assert len(ended) == PHOTOS
        assert {one["state"] for one in ended} == {"SUCCEEDED"}
        assert dead_letters(running) == 0
        assert running.audit() == {"missing": [], "duplicated": [], "unexpected": [], "stuck": []}
    figures = {"photos": PHOTOS, "drained_seconds": round(drained, 1), "second_user_seconds": round(second, 2)}
    print(json.dumps(figures | {"still_waiting_behind_it": waiting}))


def all_ended(running: Stack) -> list[dict[str, object]]:
    """Asked cheaply first: who lists thousands all the time is part of the load."""
    for state in ("QUEUED", "RUNNING", "AWAITING_UPLOAD"):
        if running.call("ana", "GET", f"/v1/predictions?pageSize=1&state={state}").json()["predictions"]:
            return []
    found = list(running.user("ana").list())
    return found if len(found) >= PHOTOS else []
