"""What a process costs, and what everybody else on this machine does meanwhile (Linux's /proc)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_HZ = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Running:
    """A container that serves on `port`."""

    port: int
    pid: int


@contextmanager
def container(device: str = "cpu") -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "inference_container", "--port", str(port), "--device", device]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", 300)  # a busy machine starts slowly
        yield Running(port, process.pid)
    finally:
        process.terminate()
        process.wait(20)


def children(pid: int) -> list[int]:
    """Each thread has its own; none of a process that has ended."""
    return [int(child) for thread in _threads(pid) for child in _read(thread / "children").split()]


def _threads(pid: int) -> list[Path]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return list(Path(f"/proc/{pid}/task").iterdir())
    return []


def _read(path: Path) -> str:
    """Nothing of a thread that has ended meanwhile."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return path.read_text()
    return ""


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def family(pid: int) -> list[int]:
    """The process and those that it started itself, but not other roles: `up` and `scaler` count alone."""
    command = command_of(pid)
    if b"cli.main" in command or b"local.scaler" in command:
        return [pid]
    return [pid, *(member for child in children(pid) for member in family(child))]


def cpu_seconds(pid: int) -> float:
    """User and system time so far."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(after_name[11]) + int(after_name[12])) / _HZ


def family_cpu_seconds(pid: int) -> float:
    return sum(cpu_seconds(one) for one in family(pid))


def family_memory_mb(pid: int) -> float:
    """Resident now. What forked siblings share counts once; a library that two programs map counts for each."""
    members = [_kilobytes(one, "smaps_rollup") for one in family(pid)]
    programs = {command_of(one): one for one in family(pid)}
    files = sum(_kilobytes(one, "status")["RssFile"] for one in programs.values())
    return (files + sum(one["Pss_Anon"] + one["Pss_Shmem"] for one in members)) / 1024


def _kilobytes(pid: int, table: str) -> dict[str, int]:
    rows = (line.split() for line in Path(f"/proc/{pid}/{table}").read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) == 3 and row[2] == "kB"}


class Busy:
    """Cores in use by the whole machine since this was made: steal and niced work are other people's, too."""

    def __init__(self) -> None:
        self._began, self._before = time.monotonic(), self._spent()

    def cores(self) -> float:
        return (self._spent() - self._before) / (time.monotonic() - self._began)

    @staticmethod
    def _spent() -> float:
        user, nice, system, _, _, hard, soft, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
        return (user + nice + system + hard + soft + steal) / _HZ


def wait_for(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"{url} did not answer")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
