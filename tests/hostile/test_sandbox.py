"""Decoders in processes of their own: the same answers, and whatever happens to one of them stays there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from inference_container import sandbox
from inference_container.cores import cores
from inference_container.decode import decode
from inference_container.sandbox import Sandbox
from shared.errors import Rejected, Retryable
from shared.logs import Log
from shared.prediction import Reason
from tests.hostile.corpus import LIGHT
from tests.hostile.faulty_decoder import CRASH, EAT, HANG, SLEEP
from tests.hostile.kinds import Size
from tests.integration.containers import offspring, photo, started, wait_for
from tests.pictures import picture, saved

SIDE = 224
FAULTY = (sys.executable, "-m", "tests.hostile.faulty_decoder")
PATIENT = 60.0  # s; the machine may be busy
GOOD = saved(picture(120, 90), "JPEG")


@pytest.fixture(name="lines")
def log_lines() -> list[str]:
    return []


@pytest.fixture(name="faulty")
def two_faulty_ones(lines: list[str]) -> Iterator[Sandbox]:
    made = Sandbox(2, PATIENT, Log("test", write=lines.append), FAULTY)
    yield made
    made.close()


def outcome(made: Sandbox, data: bytes) -> Size | Reason:
    try:
        found = made.decode(data, SIDE)
    except Rejected as error:
        return Reason(error.reason)
    return found.width, found.height


def test_every_fourth_kind_ends_as_it_does_without() -> None:
    made = Sandbox(1, PATIENT, Log("test"))
    kinds = LIGHT[::4]
    assert [outcome(made, kind.make()) for kind in kinds] == [kind.expected for kind in kinds]
    assert np.array_equal(made.decode(GOOD, SIDE).pixels, decode(GOOD, SIDE).pixels)
    made.close()


@pytest.mark.parametrize(
    ("fault", "reason", "deaths"),
    [
        (HANG, Reason.TOO_COMPLEX, 1),
        (CRASH, Reason.CORRUPT_IMAGE, 2),  # once may be anybody's fault
        (EAT, Reason.TOO_COMPLEX, 0),
    ],
)
def test_a_photo_that_breaks_its_decoder_is_rejected_and_harms_no_neighbour(
    faulty: Sandbox, lines: list[str], fault: bytes, reason: Reason, deaths: int
) -> None:
    with ThreadPoolExecutor(5) as threads:
        found = list(threads.map(lambda data: outcome(faulty, data), [GOOD, GOOD + fault, GOOD, GOOD, GOOD]))
    assert found == [(120, 90), reason, (120, 90), (120, 90), (120, 90)]
    assert [json.loads(line)["action"] for line in lines] == ["decoder_died"] * deaths


def test_one_that_waits_for_ever_is_killed_and_the_photo_may_be_tried_again() -> None:
    made = Sandbox(1, PATIENT, Log("test"), FAULTY)
    made.decode(GOOD, SIDE)  # it is there
    made._seconds = 0.2
    with pytest.raises(Retryable):
        made.decode(GOOD + SLEEP, SIDE)
    made._seconds = PATIENT
    assert outcome(made, GOOD) == (120, 90)
    made.close()


def test_decoders_are_replaced_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "RECYCLED_AFTER", 2)
    made = Sandbox(1, PATIENT, Log("test"))
    for _ in range(5):
        assert outcome(made, GOOD) == (120, 90)
    made.close()


def test_a_decoder_that_cannot_start_is_nobodys_fault() -> None:
    made = Sandbox(1, PATIENT, Log("test"), (sys.executable, "-c", "raise SystemExit(1)"))
    with pytest.raises(Retryable):
        made.decode(GOOD, SIDE)
    made.close()


def test_an_instance_with_decoders_of_its_own_answers_and_leaves_none_behind() -> None:
    with started(MASKLINE_DECODE_PROCESSES="1") as container:
        container.wait_ready()
        found = [httpx.post(container.url + "/v1/segment", content=data, timeout=PATIENT) for data in (photo(), b"no")]
        assert [answer.status_code for answer in found] == [200, 400]
        pids = [pid for pid in offspring(container.process.pid) if b".decoder" in command(pid)]
        assert len(pids) == cores()
        container.process.kill()
        container.process.wait()
    wait_for(lambda: not any(map(command, pids)), "the decoders to end")


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
