"""`maskline up` as others start and leave it: in the background, from a terminal that closes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.stacks import Stack, gone, maskline, wait_for

pytestmark = pytest.mark.e2e


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_left_in_the_background_it_holds_nobody_up_keeps_no_zombie_and_ends_when_told(tmp_path: Path) -> None:
    done = maskline("up", "--detach", "--no-samples", "--port", "0", "--data", tmp_path)  # reads until nobody writes
    assert (done.returncode, done.stderr) == (0, "")
    word, url = done.stdout.split()
    assert word == "ready"
    pids = [row["pid"] for row in Stack(None, url, tmp_path).processes()]  # type: ignore[arg-type]
    try:
        up, *others = pids
        wait_for(lambda: sorted(children(up)) == sorted(others), "the welcome's process to be gone")
        assert not any(gone(pid) for pid in pids)
    finally:
        os.kill(pids[0], signal.SIGHUP)  # what a terminal sends when it closes
        wait_for(lambda: all(gone(pid) for pid in pids), "every process to end")


def test_in_the_background_it_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = maskline("up", "--detach", "--port", "0", "--data", tmp_path / "file")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("maskline: the data folder cannot be used")
