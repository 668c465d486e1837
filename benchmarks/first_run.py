"""What a newcomer waits for: clean clone → `make run` → first mask, and the second start to `ready`.

What limits it: downloading and unpacking torch; then its import in the first inference instance. Package downloads come
from pip's cache or the network, as the machine has it.

    python -m benchmarks.first_run
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import free_port
from benchmarks.report import finish
from benchmarks.system import wait_until_ended
from shared.adapters.local.documents import LocalDocuments

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "maskline"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        began = time.monotonic()
        subprocess.run(["make", "setup"], cwd=clone, check=True, stdout=subprocess.DEVNULL)
        installed = time.monotonic()
        with running(clone):
            ready = time.monotonic()
            wait_until_ended(LocalDocuments(clone / "data" / "documents.db"), 1, pause=0.05)
            first_mask = time.monotonic()
        again = time.monotonic()
        with running(clone):
            second = time.monotonic() - again
    finish(
        "first_run",
        {
            "clone_to_first_mask_s": round(first_mask - began, 1),
            "of_which_install_s": round(installed - began, 1),
            "first_start_to_ready_s": round(ready - installed, 1),
            "second_start_to_ready_s": round(second, 1),
        },
    )


@contextmanager
def running(clone: Path) -> Iterator[None]:
    """`make run`, from its start until it says `ready`; then Ctrl-C, as a person would."""
    command = ["make", "run", f"PORT={free_port()}"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MASKLINE_")}
    process = subprocess.Popen(
        command, cwd=clone, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ready "):
                break
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)


if __name__ == "__main__":
    main()
