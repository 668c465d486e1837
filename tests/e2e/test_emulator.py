"""The emulator profile under `kill -9`: Google's adapters keep the promises that the local ones keep."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.contract import emulators
from tests.e2e.photos import numbered
from tests.e2e.stacks import QUICK, Stack, stack, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
PHOTOS = 16  # the emulator pushes two at a time


def fill(running: Stack) -> None:
    """Half are copied into the bucket, half announced through the API."""
    client = running.user("ada")
    for number in range(0, PHOTOS, 2):
        running.drop(f"users/ada/{number}.jpg", numbered(number))
        data = numbered(number + 1)
        client.upload(client.create("image/jpeg", len(data), f"photo-{number}"), data)


@pytest.mark.parametrize("role", ["inference", "pubsub"])
def test_a_killed_process_loses_nothing(role: str, tmp_path: Path) -> None:
    """The emulator keeps nothing: what it held is published again by settle, which is told that the queue was lost."""
    emulators.required()
    with stack(tmp_path / "data", "--profile", "emulator", MASKLINE_CACHE="off", **QUICK) as running:
        fill(running)
        wait_for(lambda: any(one["state"] == "SUCCEEDED" for one in running.user("ada").list()), "the first mask")
        os.kill(wait_for(lambda: running.pid(role), f"a process in the role {role}"), signal.SIGKILL)
        found = running.ended("ada", PHOTOS)
        assert {one["state"] for one in found} == {"SUCCEEDED"}
        assert len(found) == PHOTOS
        assert not any(running.audit().values())
