"""Nothing outlives the process that started it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local import child
from tests.integration.containers import PATIENCE, wait_for
from tests.integration.scalers import ROOT, alive

SLEEP = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(300)"]
STAY = "import os, sys; from local import child; sys.exit(child.stay(os.getppid(), sys.argv[1:]))"  # as on macOS
PARENT = "import subprocess, sys; one = subprocess.Popen(sys.argv[1:]); print(one.pid, flush=True); one.wait()"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")


def started_by_another(command: list[str]) -> tuple[subprocess.Popen[str], int]:
    """A process that starts `command`, and the pid of that."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def end(parent: subprocess.Popen[str]) -> None:
    parent.kill()
    parent.communicate()


def sleeper_of(pid: int) -> int:
    """The child of `pid`, once it is there."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return int(wait_for(lambda: children.read_text().split(), "it started nothing")[0])


@LINUX
def test_a_child_dies_with_the_parent_that_is_killed() -> None:
    # `command` names its caller as the parent: let that be the process in between.
    code = f"import subprocess; from local import child; one = subprocess.Popen(child.command({SLEEP!r}))"
    code += "; print(one.pid, flush=True); one.wait()"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    end(parent)
    wait_for(lambda: not alive(pid), "it lives on")


@LINUX
def test_without_the_kernels_help_a_child_dies_too() -> None:
    parent, pid = started_by_another([sys.executable, "-c", STAY, *SLEEP])
    sleeper = sleeper_of(pid)
    end(parent)
    wait_for(lambda: not alive(sleeper) and not alive(pid), "it lives on")


@LINUX
def test_without_the_kernels_help_signals_are_passed_on() -> None:
    process = subprocess.Popen([sys.executable, "-c", STAY, *SLEEP], cwd=ROOT)
    sleeper = sleeper_of(process.pid)
    wait_for(lambda: handles(process.pid, signal.SIGHUP), "it handles nothing")  # the last one that it sets
    process.terminate()
    assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert not alive(sleeper)


def handles(pid: int, number: int) -> bool:
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_the_command_takes_the_place_of_its_starter() -> None:
    say = [sys.executable, "-I", "-S", "-c", "import os; print(os.getpid()); raise SystemExit(7)"]
    process = subprocess.Popen(child.command(say), stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 7
    assert int(said) == process.pid or sys.platform != "linux"


def test_nothing_starts_when_the_parent_is_gone_already(tmp_path: Path) -> None:
    touch = [sys.executable, "-c", f"open({str(tmp_path / 'there')!r}, 'w')"]
    command = child.command(touch)
    command[command.index(str(os.getpid()))] = "1"
    assert subprocess.run(command, check=False).returncode != 0
    assert not (tmp_path / "there").exists()


def test_the_module_runs_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.child", str(os.getpid()), "true"], cwd=ROOT, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0
