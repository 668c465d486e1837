"""What photos have left behind goes back to the system."""

from __future__ import annotations

import asyncio
import sys

import pytest

from inference_container import memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator only")
def test_memory_is_given_back_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(memory, "trimmer", lambda: calls.append)
    monkeypatch.setattr(memory, "PERIOD", 0.001)

    async def run() -> None:
        task = asyncio.create_task(memory.keep_trimmed())
        async with asyncio.timeout(10):
            while len(calls) < 3:
                await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(run())
    assert set(calls) == {0}


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    asyncio.run(asyncio.wait_for(memory.keep_trimmed(), 5))
