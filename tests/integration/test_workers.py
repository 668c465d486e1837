"""Workers: what they cost the server to know, and what becomes of it when one of them dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from inference_container.cores import cores
from tests.integration.containers import PATIENCE, Container, photo, started, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(name="container")
def ready() -> Iterator[Container]:
    with started() as container:
        container.wait_ready()
        yield container


def workers(of: int) -> list[int]:
    """The processes of all workers: the first is the server's child, the others are that one's."""
    listings = Path(f"/proc/{of}/task").glob("*/children")  # by thread: a thread starts it
    found = [int(child) for listing in listings for child in listing.read_text().split()]
    return found + [one for child in found for one in workers(child)]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_every_core_is_a_worker_up_to_the_size_of_a_batch() -> None:
    with started(MASKLINE_MAX_BATCH="1") as container:
        container.wait_ready()
        assert len(workers(container.process.pid)) == 1


@pytest.mark.parametrize("place", [0, -1])
def test_a_worker_that_dies_ends_the_instance_and_no_process_stays(container: Container, place: int) -> None:
    """At once: a photo that met it would lose one of its claims."""
    pids = workers(container.process.pid)
    assert len(pids) == cores()
    os.kill(pids[place], signal.SIGKILL)
    _, said = container.process.communicate(timeout=PATIENCE)
    assert container.process.returncode == 1
    assert "a worker of the device has died; only a new process helps" in said
    wait_for(lambda: all(map(gone, pids)), "its workers to end")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_server(container: Container, number: signal.Signals) -> None:
    pids = workers(container.process.pid)
    container.process.send_signal(number)
    container.process.wait(PATIENCE)
    wait_for(lambda: all(map(gone, pids)), "the workers to end")


def test_a_signal_to_the_whole_group_leaves_the_workers_to_the_server(container: Container) -> None:
    """As Ctrl-C in a terminal does: what is inside is answered first."""
    pids = workers(container.process.pid)
    for pid in pids:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    assert httpx.post(container.url + "/v1/segment", content=photo(), timeout=PATIENCE).status_code == 200
    assert not any(map(gone, pids))


def test_a_worker_that_dies_while_it_loads_is_one_clear_line() -> None:
    with started() as container:
        loading = wait_for(lambda: workers(container.process.pid), "a worker to start")[0]
        os.kill(loading, signal.SIGKILL)
        _, said = container.process.communicate(timeout=PATIENCE)
        assert container.process.returncode == 1
        assert said.strip().splitlines()[-1] == "the model could not be loaded: its process has died"


def test_the_server_itself_knows_no_pixels() -> None:
    modules = "inference_container.__main__, inference_container.server, inference_container.push"
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {"torch", "numpy", "PIL"} & set(loaded) == set()
