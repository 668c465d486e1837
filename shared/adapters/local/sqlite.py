"""SQLite as the local profile uses it: WAL, durable commits, many processes at once, safe across forks.

Knows no tables. A process holds at most three connections per file, each behind a lock: one writes, one reads, one
lets pollers look without waiting for either.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.errors import MasklineError, Misconfigured, Retryable, StorageFull

BUSY_SECONDS = 5.0  # how long a writer waits for its turn before it gives up

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FORBIDDEN = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}


class _Handle:
    """A connection that is opened on first use, and its lock. `serial` counts openings."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None
        self.serial = 0

    def close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


class Database:
    """One database file. Each statement of `schema` runs once per file: append to it, never change what is there."""

    def __init__(self, path: Path, schema: Sequence[str]) -> None:
        self.path = path
        self._schema = schema
        self._writer = _Handle()
        self._reader = _Handle()
        self._poller = _Handle()
        self._prepared = False
        _open_databases.add(self)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Each statement sees one committed state; never waits for a writer."""
        with self._use(self._reader) as connection:
            yield connection

    @contextmanager
    def peek(self) -> Iterator[sqlite3.Connection]:
        """As `read`, on a connection kept for pollers: an event loop never waits here for a long query."""
        with self._use(self._poller) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk when the block ends; an exception in the block undoes it."""
        with self._use(self._writer) as connection:
            _begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def data_version(self) -> tuple[int, int]:
        """Differs from the last call's whenever anybody has committed since; costs microseconds."""
        with self.peek() as connection:
            return self._poller.serial, connection.execute("PRAGMA data_version").fetchone()[0]

    def close(self) -> None:
        for handle in self._handles():
            with handle.lock:
                handle.close()

    def _handles(self) -> tuple[_Handle, _Handle, _Handle]:
        return self._writer, self._reader, self._poller  # the order in which a fork locks them

    @contextmanager
    def _use(self, handle: _Handle) -> Iterator[sqlite3.Connection]:
        if not handle.lock.acquire(timeout=BUSY_SECONDS):
            raise Retryable(f"{self.path.name} is busy")
        try:
            if handle.connection is None:
                handle.connection = self._open()
                handle.serial += 1
            yield handle.connection
        except sqlite3.Error as error:
            known = self._explain(error)
            if _code(error) not in _BUSY:
                handle.close()  # after a failed write or fsync only a fresh connection can be trusted
            raise (known or error) from None
        finally:
            handle.lock.release()

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            raise Misconfigured("the data folder cannot be created: check its path and permissions") from None
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _patiently(connection, "PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            if not self._prepared:
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """The file's `user_version` counts the statements that it has seen."""
        if _user_version(connection) != len(self._schema):
            _begin(connection)
            seen = _user_version(connection)  # others may have been here while this one waited
            if seen > len(self._schema):
                raise Misconfigured(f"{self.path.name} was written by a newer version of Maskline: update this one")
            for statement in self._schema[seen:]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={len(self._schema)}")
            connection.execute("COMMIT")
        self._prepared = True

    def _explain(self, error: sqlite3.Error) -> MasklineError | None:
        name, code = self.path.name, _code(error)
        if code in _BUSY:
            return Retryable(f"{name} is busy")
        if code == sqlite3.SQLITE_FULL:
            return StorageFull("the disk is full")
        if code in _DAMAGED:
            return Misconfigured(f"{name} is damaged: put back a copy of it, or move it away to start anew")
        if code in _FORBIDDEN or (code == sqlite3.SQLITE_CANTOPEN and not self._reachable()):
            return Misconfigured(f"{name} cannot be written: check the permissions of the data folder")
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
            return Retryable(f"{name} could not be read or written just now")
        return None  # a mistake of ours

    def _reachable(self) -> bool:
        folder = os.access(self.path.parent, os.W_OK | os.X_OK)
        return folder and (not self.path.exists() or os.access(self.path, os.R_OK | os.W_OK))


def _begin(connection: sqlite3.Connection) -> None:
    """Wait for the write lock in short random steps: SQLite's own steps grow to 100 ms and starve the unlucky."""
    connection.execute("PRAGMA busy_timeout=0")
    _patiently(connection, "BEGIN IMMEDIATE")


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if _code(error) not in _BUSY or time.monotonic() > give_up:
                raise
        time.sleep(random.uniform(0.0003, 0.002))  # noqa: S311 - spreads waiters, guards nothing


def _user_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


# SQLite's connections and its process-wide table of file locks must not be carried over a fork: whoever forks closes
# them first, and both sides open them again on the next use.
_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_held: list[_Handle] = []


def _before_fork() -> None:
    _held.extend(handle for row in zip(*(d._handles() for d in _open_databases), strict=True) for handle in row)
    for handle in _held:
        handle.lock.acquire()
        handle.close()


def _after_fork() -> None:
    while _held:
        _held.pop().lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
