"""F2 from outside: a process is killed at its first durable system call, its second, … until it is no longer reached;
what it had acknowledged is there, and the rest is repaired. Needs strace, which may not be installed.

What makes things durable (sync, rename) is swept call by call. Of the page writes between two syncs, which nobody may
rely on, `MASKLINE_CHAOS_PAGES` says every how many-th is swept.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from shared.audit import audit
from shared.prediction import COLLECTION, State, from_data
from tests.chaos import options
from tests.domain import Worker, World, world

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]
STEPS = {"fsync": 1, "fdatasync": 1, "rename": 1, "unlink": 1, "ftruncate": 1, "pwrite64": options.count("PAGES", 16)}
STRACE = shutil.which("strace")


def killed_at(call: str, number: int, folder: Path) -> tuple[bool, list[list[str]]]:
    """If it was reached, and what had been acknowledged."""
    assert STRACE is not None
    inject = f"inject={call}:signal=SIGKILL:when={number}"
    command = [STRACE, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    life = [sys.executable, "-m", "tests.chaos.life", str(folder)]
    done = subprocess.run([*command, *life], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return False, []
    assert done.returncode in (-9, 137), done.stderr
    return True, [line.split() for line in done.stdout.splitlines()]


def check(domain: World, acknowledged: list[list[str]]) -> None:
    """Carry on as the next process would, then look."""
    domain.documents.ahead += timedelta(minutes=5)
    for _ in range(12):
        domain.sweep(queue_lost=True)
        for request in domain.queue.requests:
            taken = domain.claim(domain.get(request.prediction_id))
            if isinstance(taken, Worker):
                assert taken.finish()
        domain.queue.messages.clear()
        domain.wait_for_lease()
    ended = {one.id: one for one in (from_data(row.data) for row in domain.documents.query(COLLECTION))}
    assert all(one.state.terminal for one in ended.values())
    for words in acknowledged:
        if words[0] == "uploaded":
            assert any(one.generation == int(words[2]) for one in ended.values())
        elif words[0] in ("accepted", "succeeded", "deleted"):
            assert words[1] in ended
            assert words[0] != "succeeded" or ended[words[1]].state is State.SUCCEEDED
            assert words[0] != "deleted" or ended[words[1]].deleted
    report = audit(domain.runtime, domain.now)
    assert report.clean, report


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_a_kill_at_every_durable_system_call_loses_nothing(tmp_path: Path) -> None:
    points: dict[str, int] = {}
    for call, step in STEPS.items():
        for number in count(1, step):
            folder = tmp_path / f"{call}-{number}"
            reached, acknowledged = killed_at(call, number, folder)
            if not reached:
                break
            points[call] = points.get(call, 0) + 1
            with world(folder) as domain:
                check(domain, acknowledged)
    assert sum(points.values()) > 30, points
    options.keep("crash-sweep", {"points": points, "total": sum(points.values()), "violations": 0})
