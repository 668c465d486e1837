"""The supervisor over small real processes: what dies is started again, what cannot start says why, nothing stays."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local import supervisor as module
from local.runfiles import Process
from local.stack import Role, free_ports
from local.supervisor import Supervisor
from shared.errors import Misconfigured
from shared.logs import Log
from tests.integration.containers import wait_for
from tests.integration.scalers import alive

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + SERVER
FORKING = "import os, time\nif os.fork() == 0: time.sleep(300)" + SERVER


def role(name: str, code: str = SERVER) -> Role:
    [port] = free_ports(1)
    return Role(name, port, (sys.executable, "-I", "-S", "-c", code, str(port)))


@dataclass
class Stack:
    """`rows`: what `ps` would show."""

    supervisor: Supervisor
    log: list[str]
    rows: list[Process] = field(default_factory=list)

    def pid(self, name: str) -> int:
        return next(row.pid for row in self.rows if row.role == name)


def stack(folder: Path, *roles: Role) -> Stack:
    lines: list[str] = []
    one = Supervisor(roles, dict(os.environ), folder / "logs", Log("up", write=lines.append), lambda rows: None)
    made = Stack(one, lines)
    one.changed = lambda rows: setattr(made, "rows", rows)
    return made


@contextmanager
def started(folder: Path, *roles: Role) -> Iterator[Stack]:
    made = stack(folder, *roles)
    try:
        made.supervisor.start()
        yield made
    finally:
        made.supervisor.stop()


@contextmanager
def watched(one: Stack) -> Iterator[None]:
    """The loop runs in a thread, whose end would be that of what it started: it ends when the test has seen enough."""
    watcher = threading.Thread(target=one.supervisor.watch)
    watcher.start()
    try:
        yield
    finally:
        one.supervisor.stopping.set()
        watcher.join()


def test_it_is_ready_when_all_are_healthy_and_nothing_is_left_when_it_stops(tmp_path: Path) -> None:
    with started(tmp_path, role("a"), role("b")) as one:
        pids = [one.pid("a"), one.pid("b")]
        assert all(alive(pid) for pid in pids)
    assert not any(alive(pid) for pid in pids)


def test_what_is_killed_is_started_again(tmp_path: Path) -> None:
    with started(tmp_path, role("a"), role("b")) as one, watched(one):
        first, other = one.pid("a"), one.pid("b")
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: one.pid("a") != first and alive(one.pid("a")), "it was not started again")
        assert one.pid("b") == other


def test_what_is_killed_is_started_again_although_the_disk_is_full(tmp_path: Path) -> None:
    with started(tmp_path, role("a")) as one:
        told: list[list[Process]] = []

        def full(rows: list[Process]) -> None:
            told.append(rows)
            raise OSError(errno.ENOSPC, "No space left on device")

        one.supervisor.changed = full
        with watched(one):
            os.kill(one.pid("a"), signal.SIGKILL)
            wait_for(lambda: told and alive(told[-1][0].pid), "it was not started again")
    assert any('"unrecorded"' in line for line in one.log)


def test_what_dies_again_and_again_is_started_less_often(tmp_path: Path) -> None:
    """`a` lives as long as a file is there."""
    alibi = tmp_path / "there"
    alibi.touch()
    dying = role("a", f"import os\nif not os.path.exists({str(alibi)!r}): raise SystemExit(3)" + SERVER)
    with started(tmp_path, dying) as one, watched(one):
        alibi.unlink()
        os.kill(one.pid("a"), signal.SIGKILL)
        wait_for(lambda: sum('"died"' in line for line in one.log) == 3, "it did not die often enough")
    pauses = [float(line.split('"restart_in":')[1].rstrip("}")) for line in one.log if '"action":"died"' in line]
    assert [round(pause, 1) for pause in pauses] == [0.2, 1.0, 5.0]


def test_one_that_cannot_start_ends_the_start_with_its_last_words(tmp_path: Path) -> None:
    broken = role("b", "raise SystemExit('the port is in use')")
    with pytest.raises(Misconfigured, match="b could not start: the port is in use"), started(tmp_path, broken):
        pass


def test_words_of_an_earlier_start_are_not_taken_for_its_last_ones(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "b.log").write_text("all is well\n")
    with pytest.raises(Misconfigured, match="it said nothing"), started(tmp_path, role("b", "raise SystemExit(1)")):
        pass


def test_those_that_started_are_stopped_when_one_cannot(tmp_path: Path) -> None:
    made = stack(tmp_path, role("a"), role("b", "raise SystemExit(1)"))
    with pytest.raises(Misconfigured):
        made.supervisor.start()
    made.supervisor.stop()
    assert not any(alive(row.pid) for row in made.rows)


def test_stragglers_and_what_they_forked_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STOP_SECONDS", 0.3)
    with started(tmp_path, role("a", STUBBORN), role("b", FORKING)) as one:
        pids = [one.pid("a"), one.pid("b"), *forks(one.pid("b"))]
        assert len(pids) == 3
    wait_for(lambda: not any(alive(pid) for pid in pids), "somebody lives on")


def forks(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
