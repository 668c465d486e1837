"""What waits in the embedded broker: asked of the running one, or read from the file that a stopped one left."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from local.broker.store import page_of_all, started_at
from shared.errors import Misconfigured, Retryable
from shared.ports import Backlogs, Messages, Waiting
from shared.settings import Settings

_ATTEMPTS, _PAUSE = 6, 0.5  # s between two: enough for a broker that restarts
_TIMEOUT = 10.0  # s per attempt
_PAGE = 1000  # messages
_BUSY = 5.0  # s that a file may be in use
Row = Mapping[str, Any]  # as `page_of_all` makes them
Page = Callable[[int], list[Row]]  # after which seq → what comes next


def backlogs_of(settings: Settings) -> Backlogs:
    """`broker_url` is known while a stack runs."""
    return RunningBroker(settings.broker_url) if settings.broker_url else StoppedBroker(settings.data / "broker.db")


@dataclass(frozen=True, slots=True)
class RunningBroker:
    url: str

    def look(self) -> Messages:
        first = self._get(0)
        rest = _pages(lambda after: list(self._get(after)["messages"]), first["messages"])
        return Messages(_time(first["asOf"]), _time(first["since"]), list(rest))

    def _get(self, after: int) -> Mapping[str, Any]:
        for attempt in range(_ATTEMPTS):
            time.sleep(_PAUSE if attempt else 0.0)
            try:
                status, body = self._asked(f"/v1/waiting?after={after}")
            except (OSError, http.client.HTTPException):
                continue
            if status == 404:
                raise Misconfigured("the running stack is of an older release: start it again")
            if status == 200:
                answer: Mapping[str, Any] = json.loads(body)
                return answer
        raise Retryable("the queue cannot be reached now")

    def _asked(self, target: str) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=_TIMEOUT)) as connection:
            connection.request("GET", target)
            answer = connection.getresponse()
            return answer.status, answer.read()


@dataclass(frozen=True, slots=True)
class StoppedBroker:
    """Time stands still for what waits here: it is judged by when the broker wrote last, which it does at each tick."""

    path: Path

    def look(self) -> Messages:
        if not self.path.exists():
            raise Misconfigured(f"there is no {self.path.name}: no stack ran on this folder yet")
        try:
            as_of = _last_write(self.path)
            with closing(sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True, timeout=_BUSY)) as file:
                since = started_at(file)
                waiting = list(_pages(lambda after: list(page_of_all(file, after, _PAGE))))
        except (sqlite3.Error, OSError) as error:
            raise Retryable(f"{self.path.name} cannot be read now: {error}") from None
        return Messages(as_of, as_of if since is None else _time(since), waiting)


def _pages(page: Page, rows: Iterable[Row] | None = None) -> Iterator[Waiting]:
    rows = page(0) if rows is None else list(rows)
    while rows:
        yield from (Waiting(r["subscription"], r["id"], r["attributes"], _time(r["publishTime"])) for r in rows)
        rows = page(rows[-1]["seq"])


def _last_write(path: Path) -> datetime:
    """To the database or its log; an empty log is what readers leave."""
    log = path.with_name(f"{path.name}-wal")
    written = [path.stat(), *([log.stat()] if log.exists() else [])]
    return _time(max(one.st_mtime for one in written if one.st_size or one is written[0]))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
