"""Messages that are published together share a request to the broker, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.local import topics as module
from shared.adapters.local.topics import LocalTopics
from shared.errors import Malformed, Misconfigured, Retryable
from tests.contract.queues import local_queue
from tests.integration.containers import free_port

LANE = {"arm": "stable", "lane": "bulk"}


def test_they_share_a_request_but_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_queue(tmp_path) as queue:
        topics = queue.topics
        assert isinstance(topics, LocalTopics)
        sent: list[int] = []
        published = topics._published

        def counted(topic: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
            sent.append(len(rows))
            return published(topic, rows)

        monkeypatch.setattr(topics, "_published", counted)
        good = topics.publish_all("segment", [(str(number).encode(), LANE) for number in range(150)])
        assert len({str(one) for one in good}) == 150
        assert not any(isinstance(one, Exception) for one in good)
        assert sent == [100, 50]

        first, empty, last = topics.publish_all("segment", [(b"x", LANE), (b"", {}), (b"x", LANE)])
        assert isinstance(empty, Malformed)
        assert isinstance(first, str)
        assert isinstance(last, str)
        assert sent == [100, 50, 3, 1, 1, 1]

        nowhere = topics.publish_all("nobody-made-this", [(b"x", LANE)] * 2)
        assert [type(one) for one in nowhere] == [Misconfigured] * 2


def test_while_nobody_answers_all_of_them_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ATTEMPTS", 2)
    topics = LocalTopics(f"http://127.0.0.1:{free_port()}", "maskline")
    outcomes = topics.publish_all("segment", [(b"x", LANE)] * 3)
    assert [type(one) for one in outcomes] == [Retryable] * 3


def test_whoever_waited_while_the_queue_was_given_up_does_not_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    topics = LocalTopics(f"http://127.0.0.1:{free_port()}", "maskline")
    asked: list[str] = []
    monkeypatch.setattr(topics, "_post", lambda path, body: asked.append(path))
    for given_up in (time.monotonic() + 60, 0.0):  # after this thread asked, and before
        topics._failed_at = given_up
        assert [type(one) for one in topics.publish_all("segment", [(b"x", LANE)] * 2)] == [Retryable] * 2
    assert len(asked) == 1
