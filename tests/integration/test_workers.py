"""Workers: what they cost the server to know, and what becomes of it when one of them dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from inference_container.cores import cores
from inference_container.faults import DeviceBroken
from inference_container.frames import send_jobs
from inference_container.manifest import STARTER
from inference_container.pipeline import Ledger, Pipeline
from inference_container.segmented import Answer, Job, Segmented
from inference_container.workers import Workers
from tests.integration.containers import PATIENCE, Container, free_port, offspring, photo, started, wait_for
from tests.integration.scalers import alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(name="container")
def ready() -> Iterator[Container]:
    with started() as container:
        container.wait_ready()
        yield container


def test_every_core_is_a_worker_up_to_the_size_of_a_batch() -> None:
    with started(MASKLINE_MAX_BATCH="1") as container:
        container.wait_ready()
        assert len(offspring(container.process.pid)) == 1


@pytest.mark.parametrize("place", [0, -1])
def test_a_worker_that_dies_ends_the_instance_and_no_process_stays(container: Container, place: int) -> None:
    """At once: a photo that met it would lose one of its claims."""
    pids = offspring(container.process.pid)
    assert len(pids) == cores()
    os.kill(pids[place], signal.SIGKILL)
    _, said = container.process.communicate(timeout=PATIENCE)
    assert container.process.returncode == 1
    assert "a worker of the device has died; only a new process helps" in said
    wait_for(lambda: not any(map(alive, pids)), "its workers to end")


def test_a_worker_that_dies_takes_its_batch_and_nobody_from_the_line() -> None:
    workers = Workers(STARTER, "cpu", most=2)
    pids = [workers._process.pid, *offspring(workers._process.pid)]
    pipeline = Pipeline(workers, max_batch=8, batch_wait=0.0)

    async def killed_in_the_middle() -> list[Segmented | BaseException]:
        photos = [asyncio.create_task(pipeline.segment(Job(photo()), Ledger())) for _ in range(24)]
        await asyncio.wait(photos, return_when=asyncio.FIRST_COMPLETED)
        os.kill(pids[-1], signal.SIGKILL)
        return await asyncio.gather(*photos, return_exceptions=True)

    found = asyncio.run(killed_in_the_middle())
    lost = [one for one in found if isinstance(one, DeviceBroken)]
    assert len(lost) <= 8 // workers.workers
    assert sum(isinstance(one, Segmented) for one in found) == len(found) - len(lost)
    finish(workers)
    wait_for(lambda: not any(map(alive, pids)), "the workers to end")


def finish(workers: Workers) -> None:
    for one in workers._sockets:
        one.shutdown(socket.SHUT_RDWR)
    workers.died.result(PATIENCE)
    for one in workers._sockets:
        one.close()
    workers._process.wait(PATIENCE)


def test_an_error_in_the_middle_of_an_answer_ends_that_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the answer would be read as the beginning of the next one."""
    workers = Workers(STARTER, "cpu", most=1)

    def no_memory(of: socket.socket) -> list[Answer]:
        raise MemoryError

    monkeypatch.setattr("inference_container.workers.receive_answers", no_memory)
    with pytest.raises(MemoryError):
        workers.run([Job(photo())])
    workers.died.result(PATIENCE)
    assert workers._process.wait(PATIENCE) == 0
    finish(workers)


def test_a_worker_that_hangs_is_ended_by_its_timer() -> None:
    one, other = socket.socketpair()
    with one, other:
        code = f"""
import socket
from inference_container.worker import serve
class Hanging:
    def run(self, jobs):
        while True: pass
serve(Hanging(), socket.socket(fileno={other.fileno()}), budget=0.05)
"""
        process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[other.fileno()])
        send_jobs(one, [Job(b"")])
        assert process.wait(PATIENCE) == -signal.SIGALRM


def test_ctrl_c_while_the_model_loads_is_a_normal_end() -> None:
    """It reaches the whole group."""
    port = free_port()
    command = [sys.executable, "-m", "inference_container", "--port", str(port)]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: answers(port), "the port to answer")
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_server(container: Container, number: signal.Signals) -> None:
    pids = offspring(container.process.pid)
    container.process.send_signal(number)
    container.process.wait(PATIENCE)
    wait_for(lambda: not any(map(alive, pids)), "the workers to end")


def test_a_signal_to_the_whole_group_leaves_the_workers_to_the_server(container: Container) -> None:
    """As Ctrl-C in a terminal does: what is inside is answered first."""
    pids = offspring(container.process.pid)
    for pid in pids:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    assert httpx.post(container.url + "/v1/segment", content=photo(), timeout=PATIENCE).status_code == 200
    assert all(map(alive, pids))


def test_a_worker_that_dies_while_it_loads_is_one_clear_line() -> None:
    with started() as container:
        loading = wait_for(lambda: offspring(container.process.pid), "a worker to start")[0]
        os.kill(loading, signal.SIGKILL)
        _, said = container.process.communicate(timeout=PATIENCE)
        assert container.process.returncode == 1
        assert said.strip().splitlines()[-1] == "the model could not be loaded: its process has died"


def test_the_server_itself_knows_no_pixels() -> None:
    modules = "inference_container.__main__, inference_container.server, inference_container.push"
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {"torch", "numpy", "PIL"} & set(loaded) == set()
