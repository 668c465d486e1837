"""The comparison with other servers: ratios of the rounds, what is installed, and servers that do not answer."""

from __future__ import annotations

import base64
import json
import socket
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import peer_servers, peer_venvs
from benchmarks.forms import RAW, V2_BASE64, V2_BINARY, Form
from benchmarks.load import Target, burst, closed
from benchmarks.offspring import offspring
from benchmarks.peer_app import READY
from benchmarks.peer_ratios import CEILING, Row, ratios, summary
from benchmarks.peer_servers import OURS, Failed, Server, chosen, serving, tail
from benchmarks.processes import children, free_port

FAST = Server("fast", "tuned", "fastapi")
SLOW = Server("slow", "tuned", "litserve")
PLAIN = Server("plain", "documented", "fastapi")
NAIVE = Server("naive", "naive", "fastapi")
SERVERS = [OURS, FAST, SLOW, PLAIN, NAIVE]


def figures(rate: float, late: float) -> dict[str, float]:
    return {"images_per_s": rate, "open_p99_ms": late, "p99_over_p50": 1.5}


def row(ours: float, **peers: float) -> Row:
    rates = {"ours": ours, **peers}
    return {CEILING: {"images_per_s": 40.0}} | {name: figures(rate, 1000 / rate) for name, rate in rates.items()}


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def stub(script: str, beside: Path) -> Path:
    """What is started in place of a venv's Python."""
    path = beside.with_name("python")
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def alive(pid: int) -> bool:
    """A zombie that waits for its new parent is not."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def refuse(command: list[str]) -> None:
    raise peer_venvs.NotMade("no such version")


def test_ours_is_compared_with_each_peer_within_the_round() -> None:
    rows = [row(30, fast=20, slow=10, plain=15, naive=3), row(20, fast=20, slow=40, plain=5, naive=2)]
    found = ratios([*rows, row(30, fast=20, slow=10, plain=15, naive=3)], SERVERS)
    assert (found["best_tuned"], found["lowest_open_p99"]) == ("fast", "fast")
    assert found["ours_over_best_tuned"] == {"median": 1.5, "min": 1.0, "max": 1.5}
    assert found["ours_over_documented"] == {"plain": {"median": 2, "min": 2, "max": 4}}
    assert found["ours_over_naive"]["naive"]["median"] == 10
    assert found["our_open_p99_over_best_tuned"] == {"median": 0.6667, "min": 0.6667, "max": 1}
    assert set(found["p99_over_p50"]) == {"ours", "fast", "slow", "plain", "naive"}


def test_a_server_that_failed_is_missing_and_the_others_are_not() -> None:
    found = summary([row(30, fast=20), row(30, slow=10, fast=15)], SERVERS)
    assert list(found["servers"]) == ["ours", "fast", "slow"]
    assert [found["servers"][name]["rounds"] for name in ("ours", "fast", "slow")] == [2, 2, 1]
    assert found["servers"]["slow"]["of_ceiling"]["median"] == 0.25
    assert found["ratios"]["ours_over_documented"] == {}
    assert ratios([row(30)], [OURS])["ours_over_best_tuned"] is None
    assert summary([{CEILING: {"images_per_s": 40}}], SERVERS)["servers"] == {}


def test_a_load_on_a_server_that_is_not_there_or_silent_ends() -> None:
    with pytest.raises(ConnectionRefusedError):
        closed(Target(free_port()), [b""], 2, 0, 1)
    with silent() as port, pytest.raises(TimeoutError):
        burst(Target(port, patience=0.2), [b"photo"])


def test_a_peer_that_ends_early_says_why_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(Failed, match="ended with status 1"), serving(FAST, stub("echo broken; exit 1", log), log, b""):
        pass
    assert tail(log) == "    broken"


def test_a_peer_that_never_answers_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_servers, "FIRST_MASK", 0.5)
    log = tmp_path / "log"
    hanging = stub(f"echo {READY}; sleep 70 & echo $!; wait", log)
    with pytest.raises(Failed, match=r"no mask .*: ConnectionRefusedError"), serving(FAST, hanging, log, b""):
        pass
    child = int(log.read_text().split()[-1])
    assert not alive(child)


def test_a_daemon_of_a_peer_is_counted_and_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    daemon = f"setsid sh -c 'sleep 70 & echo $! >{tmp_path}/daemon; exec >&-; wait' & sleep 0.3; echo {READY}; sleep 70"
    monkeypatch.setattr(peer_servers, "asked_once", lambda *_: "200")
    with serving(FAST, stub(daemon, log), log, b"") as (_, started):
        pid = int((tmp_path / "daemon").read_text())
        assert pid in started.pids()
        assert started.total(lambda _: 1) >= 4
    assert not alive(pid)
    assert started.pids() == []


def test_a_peer_that_leaves_a_daemon_behind_is_ended_with_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = f"setsid sleep 70 & echo $! >{tmp_path}/daemon; exit 1"
    with pytest.raises(Failed, match="ended with status 1"), serving(FAST, stub(script, log), log, b""):
        pass
    assert not alive(int((tmp_path / "daemon").read_text()))


def test_a_child_of_any_thread_is_a_child() -> None:
    with ThreadPoolExecutor(1) as pool, offspring() as started:
        child = pool.submit(subprocess.Popen, ["sleep", "70"]).result()
        assert started.pids() == [child.pid]
    child.wait(5)
    assert children(child.pid) == []


@pytest.mark.parametrize("form", [RAW, V2_BINARY, V2_BASE64])
def test_a_photo_goes_into_every_form_whole(form: Form) -> None:
    lines, body = form.pack(b"\xff\xd8photo")
    if form is RAW:
        assert body == b"\xff\xd8photo"
    elif form is V2_BINARY:
        length = int(lines[1].split()[1])
        (tensor,) = json.loads(body[:length])["inputs"]
        assert body[length + 4 :] == b"\xff\xd8photo"
        assert tensor["parameters"]["binary_data_size"] == len(body) - length
    else:
        assert base64.b64decode(json.loads(body)["inputs"][0]["data"][0]) == b"\xff\xd8photo"


def test_a_mask_comes_out_of_every_form() -> None:
    head, tensor = b'{"outputs":[]}', struct.pack("<I", 4) + b"mask"
    told = b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: %d\r\n\r\n" % len(head)
    answer = json.dumps({"outputs": [{"data": [base64.b64encode(b"mask").decode()]}]}).encode()
    assert RAW.unpack(told, b"mask") == b"mask"
    assert V2_BINARY.unpack(told, head + tensor) == b"mask"
    assert V2_BASE64.unpack(b"", answer) == b"mask"


def test_peers_are_chosen_by_a_part_of_their_names() -> None:
    assert chosen([]) == [OURS, *peer_servers.PEERS]
    assert {server.package for server in chosen(["litserve"])} == {"", "litserve"}
    assert {server.kind for server in chosen(["tuned", "naive"])} == {"ours", "tuned", "naive"}
    assert len({server.name for server in chosen([])}) == len(chosen([]))


def test_a_venv_is_made_once_and_again_when_it_broke_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(peer_venvs, "_run", ran.append)
    (tmp_path / "litserve").mkdir()
    for _ in range(2):
        assert peer_venvs.python(tmp_path, "litserve") == tmp_path / "litserve/bin/python"
    assert [command[2] for command in ran] == ["venv", "pip"]
    assert {"litserve", "torch==2.13.0", "pillow"} <= set(ran[1])
    monkeypatch.setattr(peer_venvs, "_run", refuse)
    (tmp_path / "litserve" / peer_venvs.MADE).write_text("of an older list")
    for _ in range(2):
        with pytest.raises(peer_venvs.NotMade, match="no such version"):
            peer_venvs.python(tmp_path, "litserve")


def test_every_peer_is_pinned() -> None:
    assert all(peer_venvs.version(package)[0].isdigit() for package in peer_venvs.EXTRAS)
    assert {server.package for server in peer_servers.PEERS} == set(peer_venvs.EXTRAS)


@pytest.mark.parametrize("package", ["pytriton", "bentoml", "ray", "mlserver", "torchserve"])
def test_a_peer_that_clashes_with_us_has_a_list_of_its_own(package: str) -> None:
    (own,) = peer_venvs.pins(package)
    assert own not in peer_venvs.pins("fastapi")
    pinned = own.read_text("utf-8").splitlines()[1:]
    assert all("==" in line for line in pinned)
    assert {"numpy", "pillow", "safetensors"} <= {line.split("==")[0] for line in pinned}
