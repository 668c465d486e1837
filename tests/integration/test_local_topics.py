"""Threads that publish at the same time share a request to the broker, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.local.topics import LocalTopics
from shared.errors import Malformed, Misconfigured
from tests.contract.queues import local_queue
from tests.integration.containers import wait_for

LANE = {"arm": "stable", "lane": "bulk"}


def test_those_who_wait_share_a_request_but_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_queue(tmp_path) as queue, ThreadPoolExecutor(8) as pool:
        topics = queue.topics
        assert isinstance(topics, LocalTopics)
        sent: list[int] = []
        published = topics._published

        def counted(topic: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
            sent.append(len(rows))
            return published(topic, rows)

        monkeypatch.setattr(topics, "_published", counted)
        topics._turns.take()  # a request is under way
        good = [pool.submit(topics.publish, "segment", str(n).encode(), LANE) for n in range(4)]
        wait_for(lambda: len(topics._turns._waiting) == 4, "four in line")
        topics._turns.leave()
        assert len({future.result(20) for future in good}) == 4
        assert sent == [4]

        topics._turns.take()
        mixed: list[Future[str]] = [pool.submit(topics.publish, "segment", b"x", LANE) for _ in range(2)]
        empty = pool.submit(topics.publish, "segment", b"", {})
        nowhere = pool.submit(topics.publish, "nobody-made-this", b"x", {})
        wait_for(lambda: len(topics._turns._waiting) == 4, "four in line")
        topics._turns.leave()
        assert len({future.result(20) for future in mixed}) == 2
        assert isinstance(empty.exception(20), Malformed)
        assert isinstance(nowhere.exception(20), Misconfigured)
