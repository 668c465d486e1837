"""What a process costs, and what everybody else on this machine does meanwhile (Linux's /proc)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.system import free_port, wait_for

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


def cpu_seconds(pid: int) -> float:
    """User and system time so far."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(after_name[11]) + int(after_name[12])) / _HZ


def memory_mb(pid: int, line: str = "VmRSS") -> float:
    """Resident now; `VmHWM`: at its highest so far."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) / 1024 for row in status if row.startswith(line + ":"))


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
