"""One stack per data folder; what `ps` reads of a living stack, and of a dead one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local import runfiles
from local.runfiles import Process, log_file, owned, processes, stack_url, write_atomically, write_stack
from shared.errors import Misconfigured

ME = os.getpid()
SINCE = "2026-01-01T00:00:00+00:00"


def dead() -> int:
    """The pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    process.wait()
    return process.pid


def test_a_data_folder_has_one_stack_at_a_time(tmp_path: Path) -> None:
    with owned(tmp_path), pytest.raises(Misconfigured, match="another stack"), owned(tmp_path):
        pass
    with owned(tmp_path) as run:
        assert run == tmp_path / "run"


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from local.runfiles import owned\n"
    code += "with owned(Path(sys.argv[1])): os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    with owned(tmp_path):
        pass


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(Misconfigured, match="cannot be used"), owned(tmp_path / "data"):
        pass


def test_ps_shows_the_living_of_a_living_stack(tmp_path: Path) -> None:
    with owned(tmp_path) as run:
        write_stack(run, "http://127.0.0.1:1", [Process("up", ME, SINCE), Process("api", dead(), SINCE)])
        write_atomically(run / "instances.json", [{"pid": ME, "since": SINCE, "port": 1}, {"pid": dead(), "since": ""}])
        assert processes(tmp_path) == [Process("up", ME, SINCE), Process("inference", ME, SINCE)]
        assert stack_url(tmp_path) == "http://127.0.0.1:1"


def test_a_dead_stack_has_no_processes_and_no_url(tmp_path: Path) -> None:
    with owned(tmp_path) as run:
        write_stack(run, "http://127.0.0.1:1", [Process("up", dead(), SINCE), Process("api", ME, SINCE)])
        write_atomically(run / "instances.json", [{"pid": ME, "since": SINCE}])
    assert (processes(tmp_path), stack_url(tmp_path)) == ([], None)


def test_files_that_are_missing_or_not_ours_are_no_stack(tmp_path: Path) -> None:
    assert processes(tmp_path) == []
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.json").write_text("{")
    assert processes(tmp_path) == []


def test_a_long_log_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runfiles, "_LOG_BYTES", 3)
    path = log_file(tmp_path, "api")
    path.write_text("one")
    assert log_file(tmp_path, "api").read_text() == "one"
    path.write_text("three")
    assert not log_file(tmp_path, "api").exists()
    assert (tmp_path / "api.log.1").read_text() == "three"
