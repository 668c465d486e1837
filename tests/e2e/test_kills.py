"""`kill -9` of any one process while photos are in flight: every photo ends, once, and the history is clean."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.photos import numbered
from tests.e2e.stacks import QUICK, ROLES, Stack, gone, stack, start, stop, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
PHOTOS = 200


def fill(running: Stack) -> None:
    """Photos of one user, half of them announced through the API, half copied into the bucket; some have ended."""
    for number in range(PHOTOS // 2):
        running.drop(f"users/ada/{number:03}.jpg", numbered(number))
    client = running.user("ada")
    for number in range(PHOTOS // 2, PHOTOS):
        data = numbered(number)
        client.upload(client.create("image/jpeg", len(data), f"photo-{number}"), data)
    wait_for(lambda: any(one["state"] == "SUCCEEDED" for one in client.list()), "the first mask")


def check(running: Stack) -> None:
    found = running.ended("ada", PHOTOS)
    assert len(found) == PHOTOS
    assert {one["state"] for one in found} == {"SUCCEEDED"}
    assert not any(running.audit().values())


@pytest.mark.parametrize("role", ROLES)
def test_any_process_may_be_killed(role: str, tmp_path: Path) -> None:
    with stack(tmp_path / "data", MASKLINE_CACHE="off", **QUICK) as running:
        fill(running)
        pid = wait_for(lambda: running.pid(role), f"a process in the role {role}")
        os.kill(pid, signal.SIGKILL)
        check(running)
        assert running.up.poll() is None


def test_up_may_be_killed_and_started_again(tmp_path: Path) -> None:
    first = start(tmp_path / "data", MASKLINE_CACHE="off", **QUICK)
    try:
        fill(first)
        pids = [row["pid"] for row in first.processes()]
        first.up.kill()
        first.up.communicate()
        wait_for(lambda: all(gone(pid) for pid in pids), "the children to die with it")
    finally:
        stop(first)
    with stack(tmp_path / "data", MASKLINE_CACHE="off", **QUICK) as second:
        check(second)
