"""A function's server on this machine: its worker goes when its master does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from shared.settings import Settings
from tests.integration.containers import free_port, wait_for
from tests.integration.scalers import ROOT, alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("stage", ["settle", "api", "accept"])  # a threaded worker, asynchronous ones
def test_a_killed_master_takes_its_worker_with_it(tmp_path: Path, stage: str) -> None:
    port = free_port()
    command = [sys.executable, "-m", "local.function", stage, "--port", str(port)]
    quiet = subprocess.DEVNULL
    environment = Settings.from_env({}, data=tmp_path).environment()
    master = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet)
    try:
        wait_for(lambda: healthy(port), "it does not answer")
        workers = [int(pid) for pid in Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()]
        assert workers
    finally:
        master.kill()
        master.wait()
    wait_for(lambda: not any(alive(pid) for pid in workers), "a worker lives on")
    assert not healthy(port)
