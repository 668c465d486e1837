"""Group commit: who writes at the same time shares a commit, and nothing else."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.adapters.local.sqlite import Database
from shared.errors import Retryable, StorageFull

SCHEMA = (
    "CREATE TABLE rows (id INTEGER PRIMARY KEY, half INTEGER)",
    "CREATE TABLE owed (id INTEGER PRIMARY KEY, row INTEGER REFERENCES rows (id) DEFERRABLE INITIALLY DEFERRED)",
)
WAIT = 20.0  # s


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "x.db", SCHEMA)
    yield made
    made.close()


def put(database: Database, number: int) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO rows VALUES (?, 0)", (number,))


def ids(database: Database) -> list[int]:
    with database.read() as connection:
        return [row[0] for row in connection.execute("SELECT id FROM rows ORDER BY id")]


@contextmanager
def held(database: Database, pool: ThreadPoolExecutor) -> Iterator[None]:
    """Somebody has the turn; whoever writes meanwhile waits for it, and shares the commit."""
    inside, go = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write():
            inside.set()
            assert go.wait(WAIT)

    holding = pool.submit(hold)
    assert inside.wait(WAIT)
    yield
    go.set()
    holding.exception(WAIT)  # the group may have failed, and this with it


def fail(database: Database, number: int) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO rows VALUES (?, 0)", (number,))
        raise ValueError("mine")


def queue(database: Database, pool: ThreadPoolExecutor, *calls: Callable[[], None]) -> list[Future[None]]:
    """All of them in line, in this order."""
    futures = []
    for call in calls:
        waiting = len(database._turns._waiting)
        futures.append(pool.submit(call))
        deadline = time.monotonic() + WAIT
        while len(database._turns._waiting) == waiting:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    return futures


def test_those_who_wait_share_a_commit(database: Database) -> None:
    put(database, 0)
    commits: list[str] = []
    assert database._writer.connection is not None
    database._writer.connection.set_trace_callback(lambda said: commits.append(said) if said == "COMMIT" else None)
    with ThreadPoolExecutor(9) as pool:
        with held(database, pool):
            waiting = queue(database, pool, *(lambda n=n: put(database, n) for n in range(1, 9)))
        for future in waiting:
            future.result(WAIT)
    assert ids(database) == list(range(9))
    assert len(commits) == 1


def test_an_error_undoes_its_own_step_only(database: Database) -> None:
    with ThreadPoolExecutor(5) as pool:
        with held(database, pool):
            first, wrong, twice, last = queue(
                database,
                pool,
                lambda: put(database, 1),
                lambda: fail(database, 2),
                lambda: put(database, 1),
                lambda: put(database, 3),
            )
        first.result(WAIT), last.result(WAIT)
        assert isinstance(wrong.exception(WAIT), ValueError)
        assert isinstance(twice.exception(WAIT), sqlite3.IntegrityError)
    assert ids(database) == [1, 3]


def test_a_commit_that_fails_fails_all_and_the_next_one_works(database: Database) -> None:
    def owes() -> None:
        with database.write() as connection:
            connection.execute("INSERT INTO owed VALUES (1, 99)")  # found wanting at COMMIT

    with database.write() as connection:
        pass
    connection.execute("PRAGMA foreign_keys=ON")
    with ThreadPoolExecutor(4) as pool:
        with held(database, pool):
            group = queue(database, pool, lambda: put(database, 1), owes, lambda: put(database, 2))
        errors = [future.exception(WAIT) for future in group]
    assert [type(error) for error in errors] == [sqlite3.IntegrityError] * 3
    assert ids(database) == []
    put(database, 3)
    assert ids(database) == [3]


def test_an_error_that_ends_the_transaction_fails_all(database: Database) -> None:
    """A full disk, here a file that may not grow, rolls back everything."""

    def too_much() -> None:
        with database.write() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")
            connection.executemany("INSERT INTO rows VALUES (?, 0)", ((n,) for n in range(100, 100_000)))

    put(database, 0)
    with ThreadPoolExecutor(4) as pool:
        with held(database, pool):
            before, full = queue(database, pool, lambda: put(database, 1), too_much)
        assert isinstance(full.exception(WAIT), StorageFull)
        lost = isinstance(before.exception(WAIT), StorageFull)
    assert ids(database) == ([0] if lost else [0, 1])  # told the truth either way
    put(database, 2)  # on a fresh connection


def test_a_write_inside_a_write_is_undone_alone_and_seen_at_once(database: Database) -> None:
    with database.write():
        put(database, 1)
        with pytest.raises(ValueError):
            fail(database, 2)
        assert ids(database) == [1]
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(ids, database).result(WAIT) == []  # others see it when it is on disk
    assert ids(database) == [1]
    with pytest.raises(ValueError), database.write():  # noqa: PT012 - one block, two steps
        put(database, 3)
        fail(database, 4)
    assert ids(database) == [1]


def test_who_gives_up_waiting_has_written_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.adapters.local.sqlite.BUSY_SECONDS", 0.05)
    with ThreadPoolExecutor(2) as pool:
        with held(database, pool):
            (late,) = queue(database, pool, lambda: put(database, 1))
            assert isinstance(late.exception(WAIT), Retryable)
        put(database, 2)
    assert ids(database) == [2]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_amid_writes_leaves_both_sides_writing(database: Database) -> None:
    done = threading.Event()

    def busy(start: int) -> None:
        number = start
        while not done.is_set():
            put(database, number)
            number += 1

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(busy, start * 1_000_000) for start in range(1, 5)]
        for child in range(3):
            pid = os.fork()
            if pid == 0:
                try:
                    put(database, child)
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
        done.set()
        for writer in writers:
            writer.result(WAIT)
    assert ids(database)[:3] == [0, 1, 2]


KILLED = textwrap.dedent(
    """
    import sys, threading
    from pathlib import Path
    from shared.adapters.local.sqlite import Database

    database = Database(Path(sys.argv[1]), {schema!r})
    start, said = int(sys.argv[2]), threading.Lock()

    def work(number):
        while True:
            with database.write() as connection:
                connection.execute("INSERT INTO rows VALUES (?, ?)", (number, number + 1))
                connection.execute("INSERT INTO rows VALUES (?, ?)", (number + 1, number))
            with said:
                sys.stdout.write(f"{{number}}\\n")
                sys.stdout.flush()
            number += 2

    for thread in range(8):
        threading.Thread(target=work, args=(start + thread * 100_000,)).start()
    """
).format(schema=SCHEMA)


def test_killed_at_any_moment_what_was_answered_is_there_and_nothing_is_there_by_half(tmp_path: Path) -> None:
    draw = random.Random(5)
    answered: list[int] = []
    for life in range(6):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "x.db"), str(life * 1_000_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            answered.append(int(process.stdout.readline()))
            time.sleep(draw.uniform(0, 0.05))  # the moment of the kill: any will do
            process.kill()
            whole = process.stdout.read().rpartition("\n")[0]
        answered += [int(line) for line in whole.split()]
    database = Database(tmp_path / "x.db", SCHEMA)
    with database.read() as connection:
        rows = dict(connection.execute("SELECT id, half FROM rows"))
    database.close()
    assert set(answered) <= set(rows)
    assert all(rows.get(half) == number for number, half in rows.items())
