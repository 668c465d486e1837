"""One inference process in the scaler's hands."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from local.scaler import process
from local.scaler.process import Process
from local.stack import free_ports
from tests.integration.containers import PATIENCE
from tests.integration.fake_scaler import FAKE


def with_one(folder: Path, act: Callable[[Process], Awaitable[None]]) -> int:
    """The exit status of a fake instance after `act`."""

    async def whole_life() -> int:
        [port] = free_ports(1)
        command = [sys.executable, "-I", "-S", str(FAKE), "--queue", "--port", str(port), "--arm", "stable"]
        one = await process.start(command, port, folder / "log")
        await act(one)
        async with asyncio.timeout(PATIENCE):
            return await one.ended()

    return asyncio.run(whole_life())


@pytest.fixture(name="folder")
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fake").mkdir()
    monkeypatch.setenv("MASKLINE_DATA", str(tmp_path))
    return tmp_path


def test_one_that_is_told_to_end_ends_by_itself(folder: Path) -> None:
    async def act(one: Process) -> None:
        await one.ready()
        one.stop()

    assert with_one(folder, act) == 0


def test_one_that_does_not_listen_is_killed(folder: Path) -> None:
    (folder / "fake" / "stubborn").touch()

    async def act(one: Process) -> None:
        await one.ready()
        one.stop(seconds=0.2)

    assert with_one(folder, act) == -signal.SIGKILL


def test_its_last_words_are_kept_and_in_the_log(folder: Path) -> None:
    (folder / "fake" / "broken").write_text("first\n" + "x" * 100_000 + "\nno such model")

    async def act(one: Process) -> None:
        await one.ended()
        assert one.last_words == "no such model"

    assert with_one(folder, act) == 1
    assert (folder / "log").stat().st_size > 100_000


def test_a_command_that_does_not_exist_has_no_process_for_long(folder: Path) -> None:
    async def start_nothing() -> int:
        one = await process.start(["/nowhere/program"], 1, folder / "log")
        return await one.ended()

    assert asyncio.run(start_nothing()) != 0
