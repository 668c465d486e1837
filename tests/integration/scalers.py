"""Real scalers for tests: a process on a free port, over fake instances or real containers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.integration.containers import PATIENCE, free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]
FAKES = "tests.integration.fake_scaler"


@dataclass
class Running:
    process: subprocess.Popen[str]
    url: str
    data: Path

    def push(self, body: bytes = b"{}", revision: str = "", timeout: float = PATIENCE) -> httpx.Response:
        path = f"/revisions/{revision}/push" if revision else "/push"
        return httpx.post(self.url + path, content=body, timeout=timeout)

    def tell(self, what: str, text: str = "") -> None:
        """The fake instances, from now on."""
        (self.data / "fake" / what).write_text(text)

    def untell(self, what: str) -> None:
        (self.data / "fake" / what).unlink()

    def instances(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads((self.data / "run" / "instances.json").read_text())
        return rows

    def metric(self, name: str, revision: str = "default") -> float:
        text = httpx.get(self.url + "/metrics").text
        found = re.search(rf'^maskline_scaler_{name}{{revision="{revision}"}} (\S+)$', text, re.M)
        assert found is not None, text
        return float(found[1])

    def healthy(self) -> bool:
        try:
            return httpx.get(self.url + "/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def log(self) -> list[dict[str, Any]]:
        """Once it has ended."""
        assert self.process.stdout is not None
        return [json.loads(line) for line in self.process.stdout]


@contextmanager
def scaler(folder: Path, *arguments: str, module: str = FAKES, **settings: str) -> Iterator[Running]:
    """`python -m MODULE` with MASKLINE_* `settings`; killed at the end if it still runs, and its instances with it."""
    (folder / "fake").mkdir(exist_ok=True)
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MASKLINE_")}
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--port", str(port), *arguments],
        cwd=ROOT,
        env=environment | {"MASKLINE_DATA": str(folder)} | settings,
        stdout=subprocess.PIPE,
        text=True,
    )
    running = Running(process, f"http://127.0.0.1:{port}", folder)
    try:
        wait_for(lambda: process.poll() is not None or running.healthy(), "the scaler does not answer")
        yield running
    finally:
        process.kill()
        process.communicate()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
