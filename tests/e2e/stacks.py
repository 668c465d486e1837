"""`maskline up` in a temporary data folder, and what tests do to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cli.client import Client, connect
from shared.settings import Settings

PATIENCE = 120.0  # s; the machine may be busy
ROLES = ("objects", "broker", "scaler", "accept", "settle", "api", "gateway", "inference")
QUICK = {"MASKLINE_LEASE_SECONDS": "4", "MASKLINE_SWEEP_SECONDS": "1"}  # recovery in seconds, not minutes


def maskline(*arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    command = [sys.executable, "-m", "cli.main", *map(str, arguments)]
    return subprocess.run(
        command, env=_environment(settings), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError(what)


@dataclass
class Stack:
    """A running stack. `up` is its first process."""

    up: subprocess.Popen[str]
    url: str
    data: Path
    clients: dict[str, Client] = field(default_factory=dict)

    def user(self, name: str) -> Client:
        """The API as this user calls it."""
        if name not in self.clients:
            self.clients[name] = connect(Settings.from_env({}, data=self.data, url=self.url), name)
        return self.clients[name]

    def call(self, user: str, method: str, path: str, **rest: Any) -> httpx.Response:
        """One raw request to the API."""
        headers = {"authorization": f"Bearer {self.user(user).token()}"}
        return httpx.request(method, self.url + path, headers=headers, timeout=30, **rest)

    def drop(self, name: str, data: bytes) -> None:
        """Copy a file into the bucket's folder, as anybody may."""
        path = self.data / "buckets" / "uploads" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.part")  # renamed: a machine that is busy may stop for long in mid-write
        draft.write_bytes(data)
        draft.rename(path)

    def ended(self, user: str, count: int) -> list[dict[str, Any]]:
        """The user's predictions, once `count` have ended and none goes on."""
        ends = ("SUCCEEDED", "FAILED", "REJECTED", "CANCELLED", "EXPIRED")

        def all_ended() -> list[dict[str, Any]] | None:
            found = list(self.user(user).list())
            return found if len(found) >= count and all(one["state"] in ends for one in found) else None

        rows: list[dict[str, Any]] = wait_for(all_ended, f"{count} predictions of {user} to end")
        return rows

    def processes(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(maskline("ps", "--json", "--data", self.data).stdout)
        return rows

    def pid(self, role: str) -> int | None:
        """Of the first process in that role, None while there is none."""
        return next((row["pid"] for row in self.processes() if row["role"] == role), None)

    def audit(self) -> dict[str, list[str]]:
        report: dict[str, list[str]] = json.loads(maskline("audit", "--json", "--data", self.data).stdout)
        return report


def gone(pid: int) -> bool:
    """Ended, or a zombie that only waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextmanager
def stack(data: Path, *arguments: str, **settings: str) -> Iterator[Stack]:
    """A stack on a free port; at the end it is told to stop and must leave no process."""
    running = start(data, *arguments, **settings)
    pids: list[int] = []
    try:
        yield running
        pids = [row["pid"] for row in running.processes()]
    finally:
        stop(running)
    wait_for(lambda: all(gone(pid) for pid in pids), "every process to end")


def start(data: Path, *arguments: str, **settings: str) -> Stack:
    command = [sys.executable, "-m", "cli.main", "up", "--port", "0", "--no-samples", "--data", str(data), *arguments]
    process = subprocess.Popen(command, env=_environment(settings), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline().split()
    if line[:1] != ["ready"]:
        process.communicate()
        raise AssertionError("the stack did not start")
    return Stack(process, line[1], data)


def stop(running: Stack) -> None:
    for client in running.clients.values():
        client.http.close()
    if running.up.poll() is None:
        running.up.send_signal(signal.SIGTERM)
    try:
        running.up.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        running.up.kill()
        running.up.communicate()
        raise


def _environment(settings: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MASKLINE_")}
    return kept | settings
