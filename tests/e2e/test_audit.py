"""`maskline audit` of a stack that works, and of the folder that it leaves: photos, documents and messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.photos import numbered
from tests.e2e.stacks import Stack, maskline, stack

pytestmark = pytest.mark.e2e
CLEAN: dict[str, list[str]] = {"missing": [], "duplicated": [], "unexpected": [], "stuck": []}


def audited(running: Stack) -> tuple[int, object, str]:
    done = maskline("audit", "--json", "--data", running.data)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_work_under_way_is_clean_and_so_is_a_stack_that_has_stopped(tmp_path: Path) -> None:
    with stack(tmp_path / "data", MASKLINE_CACHE="off") as running:
        for number in range(8):
            running.drop(f"users/ada/{number}.jpg", numbered(number))
        while any(one["state"] in ("QUEUED", "RUNNING") for one in running.user("ada").list()):
            assert audited(running) == (0, CLEAN, "")
        running.ended("ada", 8)
        assert audited(running) == (0, CLEAN, "")
    assert audited(running) == (0, CLEAN, "")
