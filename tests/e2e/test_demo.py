"""`maskline demo`: all samples get their masks, and however it ends, nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.stacks import PATIENCE, wait_for

pytestmark = pytest.mark.e2e


def start(folder: Path) -> subprocess.Popen[str]:
    """In a folder of its own: by its path every process of the demo's stack can be told."""
    command = [sys.executable, "-m", "cli.main", "demo", "--out", str(folder / "out")]
    environment = os.environ | {"TMPDIR": str(folder)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def processes(folder: Path) -> list[int]:
    """Those that have the folder in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if f"TMPDIR={folder}".encode() in environment:
            found.append(int(entry.name))
    return found


def test_every_sample_gets_a_mask_and_an_overlay(tmp_path: Path) -> None:
    demo = start(tmp_path)
    lines = demo.communicate(timeout=PATIENCE)[0].splitlines()
    count = len(lines) - 2  # the head of the table, and the last line
    assert (demo.returncode, lines[-1]) == (0, f"{count} succeeded, 0 failed")
    assert count >= 8
    sizes = set()
    for mask in (tmp_path / "out").glob("*.mask.png"):
        with Image.open(mask) as image:
            sizes.add(image.size)
    assert len(sizes) >= 4
    assert (4000, 3000) in sizes
    assert len(list((tmp_path / "out").glob("*.overlay.jpg"))) == count
    assert processes(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_interrupted_it_leaves_nothing_running(tmp_path: Path) -> None:
    demo = start(tmp_path)
    wait_for(lambda: len(processes(tmp_path)) > 4, "the demo's stack to start")
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 130
    wait_for(lambda: processes(tmp_path) == [], "every process to end")
    assert list(tmp_path.iterdir()) == []
