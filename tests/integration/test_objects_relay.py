"""Notifications: nothing that became an object stays unheard, whoever wrote it and whatever died."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.objects.relay import batch_of
from shared.adapters.local.entries import Notification
from shared.adapters.local.objects import LocalObjects
from tests.integration.containers import PATIENCE, free_port, wait_for
from tests.integration.objectservers import ObjectServer, Topic, listening, logged, object_server

_WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from local.objects.relay import batch_of
from shared.adapters.local.entries import Notification
from shared.adapters.local.objects import LocalObjects
objects = LocalObjects(Path(sys.argv[1]))
for name in sys.argv[2:]:
    objects.put("uploads", name, b"photo", "image/png")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def topic() -> Iterator[Topic]:
    with listening() as heard:
        yield heard


def write_and_die(data: Path, *names: str) -> None:
    subprocess.run([sys.executable, "-c", _WRITE_AND_DIE, str(data), *names], check=False)


def upload(server: ObjectServer, name: str) -> None:
    request = server.sign(name)
    answer = httpx.put(request.url, content=b"photo", headers=dict(request.headers), timeout=PATIENCE)
    assert answer.status_code == 200


def test_what_anybody_writes_is_heard_in_order(tmp_path: Path, topic: Topic) -> None:
    with object_server(tmp_path, topic.url) as server:
        upload(server, "1")
        server.objects.put("uploads", "2", b"photo", "image/png")  # another process
        server.objects.put("results", "mask", b"mask", "image/png")  # nobody listens to results
        write_and_die(tmp_path, "3", "4")
        wait_for(lambda: len(topic.names) >= 4, "a notification is missing")
        assert topic.names == ["1", "2", "3", "4"]
        assert server.metric("maskline_objects_outbox") == 0
        assert server.metric("maskline_objects_relayed_total") == 4


def test_what_was_written_while_no_server_ran_is_heard_later(tmp_path: Path, topic: Topic) -> None:
    names = [f"{n:04}" for n in range(30)]
    write_and_die(tmp_path, *names)
    with object_server(tmp_path, topic.url):
        wait_for(lambda: len(topic.names) >= len(names), "a notification is missing")
    assert topic.names == names


def test_a_broker_that_is_down_gets_everything_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    with object_server(tmp_path, f"http://127.0.0.1:{port}") as server:
        for name in "123":
            upload(server, name)
        wait_for(lambda: any(line["action"] == "broker_unreachable" for line in logged(tmp_path)), "nobody noticed")
        assert server.metric("maskline_objects_outbox") == 3
        with listening(port) as topic:
            wait_for(lambda: len(topic.names) >= 3, "a notification is missing")
            upload(server, "4")
            wait_for(lambda: len(topic.names) >= 4, "a notification is missing")
        assert topic.names == ["1", "2", "3", "4"]
    actions = [line["action"] for line in logged(tmp_path)]
    assert actions.count("broker_unreachable") == actions.count("broker_back") == 1


def test_a_broker_that_refuses_is_asked_again(tmp_path: Path, topic: Topic) -> None:
    topic.status = 503
    with object_server(tmp_path, topic.url) as server:
        upload(server, "1")
        wait_for(lambda: topic.requests >= 3, "it gave up")
        topic.status = 200
        wait_for(lambda: topic.names == ["1"], "the notification is missing")


def test_killed_before_the_broker_took_it_it_is_heard_after_a_restart(tmp_path: Path, topic: Topic) -> None:
    topic.status = 503
    with object_server(tmp_path, topic.url) as server:
        upload(server, "1")
        wait_for(lambda: topic.requests, "it was never tried")
        server.kill()
    assert topic.names == []
    topic.status = 200
    with object_server(tmp_path, topic.url):
        wait_for(lambda: topic.names == ["1"], "the notification is missing")


def test_killed_again_and_again_nothing_is_lost(tmp_path: Path, topic: Topic) -> None:
    writer = LocalObjects(tmp_path)
    names = [f"{n:03}" for n in range(30)]
    for first in range(0, 30, 10):
        with object_server(tmp_path, topic.url) as server:
            for name in names[first : first + 10]:
                writer.put("uploads", name, b"photo", "image/png")
            server.kill()
    with object_server(tmp_path, topic.url):
        wait_for(lambda: set(topic.names) == set(names), "a notification is missing")
    writer.close()


def test_an_idle_server_costs_next_to_nothing(tmp_path: Path, topic: Topic) -> None:
    with object_server(tmp_path, topic.url) as server:
        upload(server, "1")
        wait_for(lambda: topic.names, "the notification is missing")
        before, since = _cpu(server.process.pid), time.monotonic()
        wait_for(lambda: time.monotonic() - since > 2, "time stands still")
        share = (_cpu(server.process.pid) - before) / (time.monotonic() - since)
        assert (share < 0.2, topic.requests) == (True, 1)


def test_one_request_carries_a_bounded_part_of_a_backlog_in_order() -> None:
    small = [Notification(n, {}, "x" * 1000) for n in range(5)]
    large = [Notification(n, {}, "x" * 700_000) for n in range(5)]
    assert batch_of(small) == small
    assert batch_of(large) == large[:1]
    assert batch_of(small + large) == [*small, large[0]]


def _cpu(pid: int) -> float:
    """Seconds of CPU that it has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
