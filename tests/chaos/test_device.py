"""Devices and photos that misbehave, in a real stack with a stub device: F9, F20, F21, answers that are not finite."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from inference_container.cores import cores
from shared.prediction import Prediction
from tests.chaos.history import history
from tests.chaos.stubs import KILLER, NOT_FINITE, STICKY, coloured, numbered, stub_stack
from tests.e2e.stacks import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
NEIGHBOURS = 12
MOST = 3  # photos that fit into the stub's memory


def test_neighbours_of_bad_photos_succeed_and_a_batch_that_does_not_fit_is_split(tmp_path: Path) -> None:
    log = tmp_path / "batches"
    stub = {"STUB_MOST": str(MOST), "STUB_LOG": str(log), "STUB_SECONDS": "0.05"}
    with stub_stack(tmp_path / "data", stub, MASKLINE_BATCH_WAIT_MS="200") as running:
        drop(running, NEIGHBOURS)
        running.drop("users/eve/nan.png", coloured(NOT_FINITE))
        running.drop("users/eve/sticky.png", coloured(STICKY))
        running.drop("users/eve/killer.png", coloured(KILLER))
        good = running.ended("ada", NEIGHBOURS)
        bad = running.ended("eve", 3)
        assert [one["state"] for one in good] == ["SUCCEEDED"] * NEIGHBOURS
        assert Counter(one["error"]["reason"] for one in bad) == {"INTERNAL": 1, "POISON": 2}
        poison = [one for one in stored(running.data) if one.error.get("reason") == "POISON"]
        assert [one.charged_claims for one in poison] == [3, 3]  # what a dying neighbour's process gave back is free
        assert not any(running.audit().values())
    processes: dict[str, list[int]] = {}
    for line in log.read_text().splitlines():
        pid, photos, _ = line.split()
        processes.setdefault(pid, []).append(int(photos))
    assert len(processes) <= cores() * (1 + 2 * 3)  # each of the two ends three instances at most
    for sizes in processes.values():
        assert sum(size > MOST for size in sizes) <= 3, "the limit was not learnt"


def stored(data: Path) -> list[Prediction]:
    with history(data) as seen:
        return list(seen.predictions())


def drop(running: Stack, photos: int) -> None:
    for number in range(photos):
        running.drop(f"users/ada/{number:03}.png", numbered(number))
