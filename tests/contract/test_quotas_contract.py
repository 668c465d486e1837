"""Quotas hold over every document store: fifty requests at once, as from several processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import pytest

from shared import quotas
from shared.adapters.local.objects import LocalObjects
from shared.adapters.local.services import LocalServices
from shared.errors import OverQuota, Retryable
from shared.ports import Documents
from shared.quotas import Charge
from shared.runtime import Runtime
from shared.settings import Settings
from tests.domain import Queue

LIMIT = 8


def test_fifty_at_once_get_what_is_allowed_and_no_more(
    documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four processes: each takes together what waits in it, and they race for the document."""
    settings = Settings.from_env({}, data=tmp_path, quotas=True, quota_daily_photos=LIMIT)
    objects = LocalObjects(tmp_path)
    runtime = Runtime(settings, documents, objects, Queue(), LocalServices(documents))
    lines = cycle([quotas._Line() for _ in range(4)])
    monkeypatch.setattr(quotas, "_line_of", lambda *_: next(lines))

    def charge(number: int) -> bool:
        for _ in range(20):  # as a caller does who is told to come again
            try:
                quotas.charge(runtime, "ana", Charge(f"h{number}", 1, announced=False))
            except OverQuota:
                return False
            except Retryable:
                continue
            return True
        raise AssertionError("never let through")

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(charge, range(50))) == LIMIT
    [stored] = documents.query(quotas.COLLECTION)
    assert (stored.data["photos"], stored.data["bytes"]) == (LIMIT, LIMIT)
    assert [charge(number) for number in (100, 101)] == [False, False]
    assert quotas._read(stored)[0] is not None
    objects.close()


def test_the_unfinished_are_remembered_as_they_were_written(documents: Documents, tmp_path: Path) -> None:
    settings = Settings.from_env({}, data=tmp_path, quotas=True)
    objects = LocalObjects(tmp_path)
    runtime = Runtime(settings, documents, objects, Queue(), LocalServices(documents))
    for number in range(3):
        quotas.charge(runtime, "ana", Charge(f"p{number}", 5))
    [stored] = documents.query(quotas.COLLECTION)
    usage, _ = quotas._read(stored)
    assert usage is not None
    assert sorted(usage.unfinished) == ["p0", "p1", "p2"]
    assert all(usage.time >= since for since in usage.unfinished.values())
    assert (usage.photos, usage.size) == (3, 15)
    objects.close()
