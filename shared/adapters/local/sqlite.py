"""SQLite as the local profile uses it: WAL, durable commits, many processes at once, safe across forks.

Knows no tables. A process holds at most three connections per file, each behind a lock: one writes, one reads, one
lets pollers look without waiting for either.

Group commit: a commit waits for the disk, so threads that write at the same time share one. Each writes in its turn,
inside a savepoint of its own; the one behind whom nobody waits commits; all return when that is done.
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

from shared.adapters.local.turns import Turns
from shared.errors import MasklineError, Misconfigured, Retryable, StorageFull

BUSY_SECONDS = 5.0  # how long a writer waits for its turn before it gives up
_MOST_MEMBERS = 64  # per commit: other processes want to write, too

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


class _Group:
    """One transaction, shared by the threads that wrote in it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.members = 0
        self.ended = threading.Event()
        self.error: sqlite3.Error | None = None  # why nothing of it happened

    @contextmanager
    def step(self) -> Iterator[sqlite3.Connection]:
        """A part that is undone alone when the block raises."""
        if self.error is not None:
            raise self.error
        try:
            with _savepoint(self.connection):
                yield self.connection
        except sqlite3.Error as error:
            if not self.connection.in_transaction:  # it took the others' parts with it
                self.error = self.error or error
            raise


class _Own(threading.local):
    """What this thread is writing in."""

    group: _Group | None = None


class Database:
    """One database file. Each statement of `schema` runs once per file: append to it, never change what is there."""

    def __init__(self, path: Path, schema: Sequence[str]) -> None:
        self.path = path
        self._schema = schema
        self._writer = _Handle()
        self._reader = _Handle()
        self._poller = _Handle()
        self._turns = Turns()  # for the writer
        self._group: _Group | None = None  # what the next turn writes in; None: a new one
        self._own = _Own()
        self._prepared = False
        _open_databases.add(self)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Each statement sees one committed state; never waits for a writer. Inside `write`, sees what it wrote."""
        if self._own.group is not None:
            yield self._own.group.connection
            return
        with self._use(self._reader) as connection:
            yield connection

    @contextmanager
    def peek(self) -> Iterator[sqlite3.Connection]:
        """As `read`, on a connection kept for pollers: an event loop never waits here for a long query."""
        with self._use(self._poller) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One step, on disk when the block ends; an exception in the block undoes it, and nobody else's.

        Inside another `write` of the same thread it is a part of that one: undone alone, on disk together.
        """
        with self._explained():
            if self._own.group is not None:
                with self._own.group.step() as connection:
                    yield connection
                return
            group = self._own.group = self._join()
            try:
                with group.step() as connection:
                    yield connection
            finally:
                self._own.group = None
                self._leave(group)

    def data_version(self) -> tuple[int, int]:
        """Differs from the last call's whenever anybody has committed since; costs microseconds."""
        with self.peek() as connection:
            return self._poller.serial, connection.execute("PRAGMA data_version").fetchone()[0]

    def close(self) -> None:
        self._take_alone()
        self._writer.close()
        self._turns.leave()
        for handle in (self._reader, self._poller):
            with handle.lock:
                handle.close()

    # -- group commit

    def _join(self) -> _Group:
        """Wait for the turn; the first one begins the transaction."""
        if not self._turns.take(BUSY_SECONDS):
            raise Retryable(f"{self.path.name} is busy")
        try:
            if self._group is None:
                connection = self._opened(self._writer)
                _begin(connection)
                self._group = _Group(connection)
            return self._group
        except BaseException as error:
            self._distrust(self._writer, error)
            self._turns.leave()
            raise

    def _leave(self, group: _Group) -> None:
        """Let the next one write in this transaction, or commit it; return when it is committed.

        Raises what made it fail as a whole, also for one that had failed alone: it may have failed by what it saw.
        """
        group.members += 1
        if not (group.error is None and group.members < _MOST_MEMBERS and self._turns.pass_on()):
            self._end(group)
            self._turns.leave()
        group.ended.wait()
        if group.error is not None:
            raise group.error

    def _end(self, group: _Group) -> None:
        """Commit. Only for the one whose turn it is."""
        self._group = None
        failed = group.error or _interrupted()  # until COMMIT has returned
        try:
            if group.error is None:
                group.connection.execute("COMMIT")
                failed = None
        except sqlite3.Error as error:
            failed = error
        finally:
            group.error = failed
            if failed is not None:
                _roll_back(group.connection)
                self._distrust(self._writer, failed)
            group.ended.set()

    def _take_alone(self) -> None:
        """The turn, after ending what is under way."""
        self._turns.take()
        if self._group is not None:
            self._end(self._group)

    # -- forks

    def _hold_readers(self) -> None:
        for handle in (self._reader, self._poller):
            handle.lock.acquire()
            handle.close()
        self._turns.before_fork()

    def _go_on(self, child: bool) -> None:
        self._turns.after_fork(child)
        for handle in (self._reader, self._poller):
            handle.lock.release()

    # -- connections

    @contextmanager
    def _use(self, handle: _Handle) -> Iterator[sqlite3.Connection]:
        if not handle.lock.acquire(timeout=BUSY_SECONDS):
            raise Retryable(f"{self.path.name} is busy")
        try:
            yield self._opened(handle)
        except sqlite3.Error as error:
            known = self._explain(error)
            self._distrust(handle, error)
            raise (known or error) from None
        finally:
            handle.lock.release()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's errors in our words."""
        try:
            yield
        except sqlite3.Error as error:
            raise (self._explain(error) or error) from None

    def _opened(self, handle: _Handle) -> sqlite3.Connection:
        if handle.connection is None:
            handle.connection = self._open()
            handle.serial += 1
        return handle.connection

    def _distrust(self, handle: _Handle, error: BaseException) -> None:
        """After a failed write or fsync only a fresh connection can be trusted."""
        if isinstance(error, sqlite3.Error) and _code(error) not in _BUSY:
            handle.close()

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


@contextmanager
def _savepoint(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("SAVEPOINT step")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # some errors end the whole transaction
            connection.execute("ROLLBACK TO step")
            connection.execute("RELEASE step")
        raise
    connection.execute("RELEASE step")


def _interrupted() -> sqlite3.Error | None:
    error = sqlite3.OperationalError("interrupted")
    error.sqlite_errorcode = sqlite3.SQLITE_INTERRUPT
    return error


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        pass  # the connection is closed next, which does the same


# SQLite's connections and its process-wide table of file locks must not be carried over a fork: whoever forks closes
# them first, and both sides open them again on the next use.
_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_forking: list[Database] = []


def _before_fork() -> None:
    _forking.extend(_open_databases)
    for database in _forking:  # writers first: they read, but readers do not write
        database._take_alone()
        database._writer.close()
    for database in _forking:
        database._hold_readers()


def _after_fork(child: bool) -> None:
    while _forking:
        _forking.pop()._go_on(child)


os.register_at_fork(
    before=_before_fork, after_in_parent=lambda: _after_fork(False), after_in_child=lambda: _after_fork(True)
)
