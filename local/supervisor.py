"""Start the stack's processes, start each again when it dies, stop them all. Knows nothing of what they do."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from local import child
from local.runfiles import Process, log_file
from local.stack import Role
from shared.errors import Misconfigured
from shared.logs import Log

_LOOK = 0.05  # s between two looks at the children
_START_SECONDS = 60.0  # s until all must be healthy
_STOP_SECONDS = 12.0  # s until what did not stop is killed
_BACKOFF = (0.0, 0.2, 1.0, 5.0)  # s before the 1st, 2nd, … start again in a row
_STEADY = 10.0  # s after which a process counts as healthy again


@dataclass(slots=True)
class _Child:
    role: Role
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0  # monotonic
    started: str = ""
    log_start: int = 0  # where in its log this process's words begin
    deaths: int = 0  # in a row
    due: float = 0.0  # monotonic: not started again before


@dataclass
class Supervisor:
    """`changed` is called with the running processes after every start. Start it from the main thread: on Linux the
    children die with the thread that forked them."""

    roles: Sequence[Role]
    environment: Mapping[str, str]
    logs: Path
    log: Log
    changed: Callable[[list[Process]], None]
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._children = [_Child(role) for role in self.roles]

    def start(self) -> None:
        """Returns when all are healthy. Raises `Misconfigured` with the last words of one that cannot start."""
        self.logs.mkdir(parents=True, exist_ok=True)
        for one in self._children:
            self._spawn(one)
        self._tell()
        waiting = list(self._children)
        deadline = time.monotonic() + _START_SECONDS
        while waiting and not self.stopping.is_set():
            waiting = [one for one in waiting if not _healthy(one.role)]
            for one in waiting:
                if one.process is not None and one.process.poll() is not None:
                    raise Misconfigured(f"{one.role.name} could not start: {self._last_words(one)}")
            if waiting and time.monotonic() > deadline:
                raise Misconfigured(f"{waiting[0].role.name} did not become healthy in {_START_SECONDS:.0f} s")
            self.stopping.wait(_LOOK)

    def watch(self) -> None:
        """Start again what dies, until `stopping` is set."""
        while not self.stopping.wait(_LOOK):
            born = [one for one in self._children if self._revive(one)]
            if born:
                self._tell()

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to those that are still there after 12 s."""
        running = [one.process for one in self._children if one.process is not None]
        for process in running:
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            _signal(process, signal.SIGKILL)  # the whole group: a worker may have outlived its master
            process.wait()

    def _revive(self, one: _Child) -> bool:
        now = time.monotonic()
        if one.process is not None:
            if one.process.poll() is None:
                return False
            _signal(one.process, signal.SIGKILL)
            one.deaths = 0 if now - one.since > _STEADY else one.deaths + 1
            one.due = now + _BACKOFF[min(one.deaths, len(_BACKOFF) - 1)]
            self.log.warning("died", role=one.role.name, status=one.process.returncode, restart_in=one.due - now)
            one.process = None
        if now < one.due:
            return False
        self._spawn(one)
        return True

    def _spawn(self, one: _Child) -> None:
        with log_file(self.logs, one.role.name).open("ab") as output:
            one.log_start = output.tell()
            one.process = subprocess.Popen(
                child.command(one.role.command),
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches `up` alone, which then stops them in order
            )
        one.since = time.monotonic()
        one.started = datetime.now(UTC).isoformat()
        self.log("started", role=one.role.name, pid=one.process.pid)

    def _tell(self) -> None:
        rows = [Process(c.role.name, c.process.pid, c.started) for c in self._children if c.process is not None]
        try:
            self.changed(rows)
        except OSError as error:  # a full disk: `ps` shows what was, and the stack goes on
            self.log.warning("unrecorded", message=error.strerror)

    def _last_words(self, one: _Child) -> str:
        said = (self.logs / f"{one.role.name}.log").read_bytes()[one.log_start :]
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _healthy(role: Role) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", role.port, timeout=2)
    try:
        connection.request("GET", role.health)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """To the process's group, which it leads."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass
