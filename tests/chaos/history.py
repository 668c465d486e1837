"""What a stack's data says while it runs and when it has come to rest: the invariants, looked at from outside."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects
from shared.ports import Where
from shared.prediction import COLLECTION, Prediction, State, from_data

RANK = {State.AWAITING_UPLOAD: 0, State.QUEUED: 1, State.RUNNING: 2}  # every end: 3
_PAGE = 1000


@dataclass
class History:
    """Every prediction as it was last seen."""

    documents: LocalDocuments
    objects: LocalObjects
    seen: dict[str, Prediction] = field(default_factory=dict)

    def look(self) -> None:
        """States only move forward, and an end stays as it is (I3, I4)."""
        for now in self.predictions():
            before = self.seen.get(now.id, now)
            assert RANK.get(before.state, 3) <= RANK.get(now.state, 3), f"{now.id} went back to {now.state}"
            assert before.fence <= now.fence
            assert not before.state.terminal or before == now, f"{now.id} changed after its end"
            self.seen[now.id] = now

    def wait_for_ends(self, count: int, seconds: float) -> None:
        """Until `count` photos that were seen unfinished have ended, but no longer than `seconds`."""
        until, known = time.monotonic() + seconds, self._unfinished()
        while time.monotonic() < until and len(known - (now := self._unfinished())) < count:
            known |= now
            time.sleep(0.05)

    def _unfinished(self) -> set[str]:
        states = [State.QUEUED.value, State.RUNNING.value]
        return {one.id for one in self.documents.query(COLLECTION, [("state", "in", states)], limit=_PAGE)}

    def at_work(self) -> bool:
        """Somebody holds a claim whose lease is not over."""
        live: list[Where] = [("state", "==", State.RUNNING.value), ("leaseExpireTime", ">", datetime.now(UTC))]
        return bool(self.documents.query(COLLECTION, live, limit=1))

    def predictions(self) -> Iterator[Prediction]:
        after = None
        while True:
            page = self.documents.query(COLLECTION, order_by=[("createTime", "asc")], limit=_PAGE, after=after)
            yield from (from_data(document.data) for document in page)
            if len(page) < _PAGE:
                return
            after = (page[-1].data["createTime"], page[-1].id)

    def states(self) -> Counter[State]:
        return Counter(one.state for one in self.seen.values())

    def ended(self) -> int:
        return sum(one.state.terminal for one in self.seen.values())

    def check_masks(self) -> int:
        """Every result's mask is there and is the one that the document describes (I2); how many were read."""
        for one in self.seen.values():
            if one.state is State.SUCCEEDED:
                mask = self.objects.get(one.result["bucket"], one.result["object"], one.result["generation"])
                assert hashlib.sha256(mask).hexdigest() == one.result["sha256"], f"{one.id} has another mask"
        return self.states()[State.SUCCEEDED]


@contextmanager
def history(data: Path) -> Iterator[History]:
    found = History(LocalDocuments(data / "documents.db"), LocalObjects(data))
    try:
        yield found
    finally:
        found.documents.close()
        found.objects.close()


def commits(data: Path) -> Counter[str]:
    """How often each prediction was committed, as the instances' own logs say."""
    counted: Counter[str] = Counter()
    for path in sorted((data / "run" / "logs").glob("inference.log*")):
        for line in path.read_text("utf-8", "replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # torn by a kill, or a library's own words
            if isinstance(row, dict) and row.get("action") == "committed":
                counted[row["prediction_id"]] += 1
    return counted
