"""The scaler as its own process, over fake instances: what the broker sees, and what becomes of the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.integration.containers import wait_for
from tests.integration.scalers import ROOT, Running, alive, scaler

SMALL = {"MASKLINE_CONCURRENCY": "2", "MASKLINE_MAX_INSTANCES": "2"}
SHORT = {"MASKLINE_LEASE_SECONDS": "0.5", "MASKLINE_ACK_DEADLINE_SECONDS": "1"}


@pytest.fixture(name="threads")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads


def pushes(one: Running, threads: ThreadPoolExecutor, count: int) -> list[Future[httpx.Response]]:
    return [threads.submit(one.push) for _ in range(count)]


def codes(answers: list[Future[httpx.Response]]) -> list[int]:
    return [answer.result().status_code for answer in answers]


def test_the_first_push_starts_an_instance_and_waits_for_it(tmp_path: Path) -> None:
    with scaler(tmp_path) as one:
        assert wait_for(lambda: one.instances() == [], "no record")
        answer = one.push()
        assert (answer.status_code, answer.json()["arm"]) == (200, "stable")
        [row] = one.instances()
        assert (row["pid"], row["revision"], row["state"]) == (answer.json()["pid"], "default", "ready")
        assert httpx.get(f"http://127.0.0.1:{row['port']}/readyz").status_code == 200
        assert one.push().json()["pid"] == row["pid"]
        assert (one.metric("starts_total"), one.metric("cold_start_seconds_count")) == (1, 1)
        assert one.metric("cold_start_seconds_sum") > 0


def test_more_start_when_all_are_full_up_to_the_cap_and_beyond_it_pushes_are_refused(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    with scaler(tmp_path, **SMALL) as one:
        one.tell("held")
        answers = pushes(one, threads, 4)
        wait_for(lambda: one.metric("in_flight") == 4, "not all came in")
        assert len(one.instances()) == 2
        refused = one.push()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        one.untell("held")
        assert codes(answers) == [200] * 4
        assert max(answer.result().json()["most"] for answer in answers) == 2
        assert one.metric("refused_total") == 1


def test_an_idle_instance_is_stopped_and_started_again_on_demand(tmp_path: Path) -> None:
    with scaler(tmp_path, MASKLINE_IDLE_SECONDS="0.2") as one:
        first = one.push().json()["pid"]
        wait_for(lambda: one.instances() == [] and not alive(first), "it was not stopped")
        assert one.push().json()["pid"] != first
        assert one.metric("deaths_total") == 0


def test_an_instance_that_dies_at_work_fails_its_pushes_at_once_and_is_replaced(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    with scaler(tmp_path) as one:
        first = one.push().json()["pid"]
        one.tell("held")
        answers = pushes(one, threads, 3)
        wait_for(lambda: one.metric("in_flight") == 3, "not all came in")
        os.kill(first, signal.SIGKILL)
        assert codes(answers) == [503] * 3
        one.untell("held")
        assert one.push().json()["pid"] != first
        assert one.metric("deaths_total") == 1


def test_a_push_that_kills_its_instance_is_answered(tmp_path: Path) -> None:
    with scaler(tmp_path) as one:
        answer = one.push(b"die")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert one.push().status_code == 200


def test_pushes_do_not_wait_for_a_model_that_cannot_start_and_the_log_says_why(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    with scaler(tmp_path) as one:
        one.tell("broken", "the weights are damaged")
        assert set(codes(pushes(one, threads, 5))) == {503}
        answer = one.push()
        assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (503, True)
        one.untell("broken")
        wait_for(lambda: one.push().status_code == 200, "it was not tried again")
        assert one.stop() == 0
        died = [line for line in one.log() if line["action"] == "died"]
        assert {(line["was"], line["message"]) for line in died} == {("starting", "the weights are damaged")}
        pauses = [line["retry_in"] for line in died]
        assert pauses == [0.5 * 2**n for n in range(len(pauses))]
        assert "the weights are damaged" in (tmp_path / "run/logs/inference.log").read_text()


def test_who_hangs_up_does_not_wait_any_more(tmp_path: Path) -> None:
    with scaler(tmp_path, MASKLINE_CONCURRENCY="1") as one:
        one.tell("slow")
        with pytest.raises(httpx.ReadTimeout):
            one.push(timeout=0.2)
        wait_for(lambda: one.metric("waiting") == 0, "it still waits")
        one.untell("slow")
        assert one.push().status_code == 200


def test_an_instance_that_does_not_answer_is_killed_and_replaced(tmp_path: Path) -> None:
    with scaler(tmp_path, **SHORT) as one:
        first = one.push().json()["pid"]
        os.kill(first, signal.SIGSTOP)
        assert one.push().status_code == 503
        assert one.push().json()["pid"] != first


def test_sigterm_stops_the_instances_whose_pushes_still_get_their_answers(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    with scaler(tmp_path, **SMALL) as one:
        one.tell("held")
        answers = pushes(one, threads, 4)
        wait_for(lambda: one.metric("in_flight") == 4, "not all came in")
        pids = [row["pid"] for row in one.instances()]
        assert one.stop() == 0
        assert {(code, answer.result().json()["pid"] in pids) for answer in answers for code in codes([answer])} == {
            (503, True)
        }
        assert not any(alive(pid) for pid in pids)
        assert one.instances() == []


def test_sigterm_while_an_instance_starts_ends_both(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    with scaler(tmp_path) as one:
        one.tell("slow")
        [answer] = pushes(one, threads, 1)
        [row] = wait_for(one.instances, "nothing was started")
        assert one.stop() == 0
        assert answer.result().status_code == 503
        assert not alive(row["pid"])


def test_instances_die_with_a_killed_scaler(tmp_path: Path) -> None:
    with scaler(tmp_path) as one:
        pid = one.push().json()["pid"]
        one.process.kill()
        wait_for(lambda: not alive(pid), "the instance lives on")


def test_each_revision_has_its_own_instances(tmp_path: Path) -> None:
    rows = '[{"name": "b", "arm": "candidate", "model": "there"}]'
    with scaler(tmp_path, "--revisions", rows, MASKLINE_MAX_INSTANCES="2") as one:
        answers = [one.push().json(), one.push(revision="b").json()]
        assert [(row["arm"], row["model"]) for row in answers] == [("stable", ""), ("candidate", "there")]
        assert {row["revision"]: row["pid"] for row in one.instances()} == {
            "default": answers[0]["pid"],
            "b": answers[1]["pid"],
        }
        assert one.metric("starts_total", "b") == 1
        assert one.push(revision="c").status_code == 404


def test_at_the_cap_a_revision_without_an_instance_takes_the_place_of_an_idle_one(tmp_path: Path) -> None:
    with scaler(tmp_path, "--revisions", '[{"name": "b", "arm": "candidate"}]') as one:
        first = one.push().json()["pid"]
        assert one.push(revision="b").json()["arm"] == "candidate"
        assert not alive(first)


@pytest.mark.parametrize(
    "text", ["nonsense", "[{}]", '[{"name": "default", "arm": "x"}]', '[{"name": "/", "arm": "x"}]']
)
def test_revisions_that_nobody_can_read_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.scaler", "--port", "0", "--revisions", text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("--revisions ")
