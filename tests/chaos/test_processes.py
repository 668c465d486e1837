"""Faults of real processes that take a while: a pause (F8), a queue that is gone (F12), a stop under load (F27)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from local.runfiles import processes
from shared.prediction import State
from tests.chaos.history import commits, history
from tests.chaos.stubs import numbered, stub_stack
from tests.e2e.stacks import Stack, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
PHOTOS = 30
LEASE = 4.0  # s, as in `QUICK`


def fill(running: Stack) -> None:
    for number in range(PHOTOS):
        running.drop(f"users/ada/{number:03}.png", numbered(number))


def check(running: Stack) -> None:
    assert {one["state"] for one in running.ended("ada", PHOTOS)} == {"SUCCEEDED"}
    assert not any(running.audit().values())


def test_f8_an_instance_that_sleeps_for_two_leases_commits_nothing_twice(tmp_path: Path) -> None:
    data = tmp_path / "data"
    settings = {"MASKLINE_MAX_INSTANCES": "2", "MASKLINE_MAX_CLAIMS": "20"}
    with stub_stack(data, {"STUB_SECONDS": "1"}, **settings) as running, history(data) as seen:
        fill(running)
        wait_for(seen.at_work, "a claim")
        sleepers = [one.pid for one in processes(data) if one.role == "inference"]
        for pid in sleepers:
            os.kill(pid, signal.SIGSTOP)
        until = time.monotonic() + 2 * LEASE
        while time.monotonic() < until:
            seen.look()
            time.sleep(0.2)
        for pid in sleepers:
            os.kill(pid, signal.SIGCONT)
        check(running)
        seen.look()
        assert seen.check_masks() == PHOTOS
    assert set(commits(data).values()) == {1}


def test_f12_a_queue_that_is_gone_is_filled_again(tmp_path: Path) -> None:
    """Target: every unfinished photo is queued again within two sweep periods; here they also end."""
    data = tmp_path / "data"
    with stub_stack(data, {"STUB_SECONDS": "1"}, MASKLINE_MAX_BATCH="1") as running, history(data) as seen:
        fill(running)
        wait_for(seen.at_work, "a claim")
        broker = wait_for(lambda: running.pid("broker"), "the broker")
        for path in data.glob("broker.db*"):
            path.unlink()
        os.kill(broker, signal.SIGKILL)
        check(running)
        seen.look()
        assert seen.states() == {State.SUCCEEDED: PHOTOS}
    assert set(commits(data).values()) == {1}


def test_f27_a_stop_under_load_loses_nothing_and_waits_for_no_lease(tmp_path: Path) -> None:
    """The whole stack is told to stop with photos in flight and started again on the same data."""
    data = tmp_path / "data"
    with stub_stack(data, {"STUB_SECONDS": "1"}, MASKLINE_MAX_BATCH="4") as running, history(data) as seen:
        fill(running)
        wait_for(seen.at_work, "a claim")
    assert running.up.returncode == 0
    with stub_stack(data) as running:
        check(running)
    assert set(commits(data).values()) == {1}
