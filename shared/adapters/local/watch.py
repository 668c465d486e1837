"""Watching documents without a thread per watcher: one task per event loop looks every 25 ms whether anybody has
committed, and reads again only what is watched."""

from __future__ import annotations

import asyncio
import sqlite3
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

from shared.adapters.local.sqlite import Database
from shared.errors import MasklineError
from shared.ports import Document

POLL_SECONDS = 0.025
_PAGE = 500  # paths per statement: SQLite takes a bounded number of parameters

Row = tuple[Any, ...]


class Watches:
    """`watch` may be called on any event loop; each loop has a poller while it has watchers."""

    def __init__(self, database: Database, parse: Callable[[Row], Document]) -> None:
        self._database = database
        self._parse = parse
        self._pollers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Poller] = weakref.WeakKeyDictionary()

    async def watch(self, path: str) -> AsyncIterator[Document | None]:
        loop = asyncio.get_running_loop()
        poller = self._pollers.get(loop)
        if poller is None:
            poller = self._pollers.setdefault(loop, _Poller(self._database))
        watcher = poller.add(path)
        try:
            while True:
                row = await watcher.next()
                yield None if row is None else self._parse(row)
        finally:
            poller.remove(watcher)


class _Watcher:
    """One reader of one path: the newest row that it has not yielded. Rows in between are skipped."""

    def __init__(self, path: str, row: Row | None) -> None:
        self.path = path
        self.row = row
        self._error: MasklineError | None = None
        self._news = asyncio.Event()
        self._news.set()

    def tell(self, row: Row | None) -> None:
        if _version(row) != _version(self.row):
            self.row = row
            self._news.set()

    def fail(self, error: MasklineError) -> None:
        self._error = error
        self._news.set()

    async def next(self) -> Row | None:
        await self._news.wait()
        self._news.clear()
        if self._error is not None:
            raise self._error
        return self.row


class _Poller:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: dict[str, set[_Watcher]] = {}
        self._seen: tuple[int, int] | None = None
        self._task: asyncio.Task[None] | None = None

    def add(self, path: str) -> _Watcher:
        watcher = _Watcher(path, self._read([path]).get(path))
        self._watchers.setdefault(path, set()).add(watcher)
        if self._task is None:
            self._seen = None
            self._task = asyncio.create_task(self._poll(), name="document watches")
        return watcher

    def remove(self, watcher: _Watcher) -> None:
        watchers = self._watchers.get(watcher.path, set())
        watchers.discard(watcher)
        if not watchers:
            self._watchers.pop(watcher.path, None)
        if not self._watchers and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _poll(self) -> None:
        while True:
            try:
                self._look()
            except MasklineError as error:
                self._give_up(error)
                return
            await asyncio.sleep(POLL_SECONDS)

    def _look(self) -> None:
        seen = self._database.data_version()
        if seen == self._seen:
            return
        self._seen = seen
        with self._database.peek() as connection:
            versions: dict[str, int] = dict(_select(connection, "path, version", list(self._watchers)))
        changed = [path for path, watchers in self._watchers.items() if _outdated(watchers, versions.get(path))]
        rows = self._read(changed)
        for path in changed:
            for watcher in self._watchers[path]:
                watcher.tell(rows.get(path))

    def _read(self, paths: list[str]) -> dict[str, Row]:
        with self._database.peek() as connection:
            return {row[0]: row for row in _select(connection, "*", paths)}

    def _give_up(self, error: MasklineError) -> None:
        self._task = None
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.fail(error)


def _select(connection: sqlite3.Connection, columns: str, paths: list[str]) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, len(paths), _PAGE):
        page = paths[start : start + _PAGE]
        statement = f"SELECT {columns} FROM documents WHERE path IN ({', '.join('?' * len(page))})"  # noqa: S608 - ours
        rows += connection.execute(statement, page).fetchall()
    return rows


def _outdated(watchers: set[_Watcher], version: int | None) -> bool:
    return any(_version(watcher.row) != version for watcher in watchers)


def _version(row: Row | None) -> int | None:
    return None if row is None else int(row[2])
