"""`maskline up`: the whole system on this machine, in the foreground, until it is told to stop."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from os import getpid
from pathlib import Path

from inference_container.manifest import STARTER, Manifest, check_files
from local import child, devtoken, stack
from local.runfiles import Process, log_file, owned, write_stack
from local.serving import bind
from local.supervisor import Supervisor
from shared.logs import Log
from shared.registry import register
from shared.runtime import connect
from shared.settings import Settings


def up(settings: Settings, port: int, samples: bool, ready: Callable[[str], None]) -> None:
    """Run the stack on `port` (0: any free one); `ready(url)` is called when uploads are accepted.

    Returns after SIGTERM, SIGINT or SIGHUP, when every process has ended. Raises `Misconfigured`: then nothing runs.
    """
    stopping = threading.Event()
    for number in (signal.SIGINT, *child.stop_signals()):
        signal.signal(number, lambda *_: stopping.set())
    model = checked_model(settings)
    with owned(settings.data) as run:
        shared, roles = stack.wired(settings, _usable(port))
        devtoken.prepare(shared)
        changed = partial(_write, run, shared, datetime.now(UTC).isoformat())
        with _log(run, settings.log_level) as log:
            supervisor = Supervisor(roles, shared.environment(), run / "logs", log, changed, stopping)
            try:
                supervisor.start()
                if not stopping.is_set():
                    register(connect(shared).documents, model.to_document())  # only now is there a Firestore emulator
                    ready(shared.url)
                    _serve(supervisor, shared, samples)
            finally:
                supervisor.stop()
                (run / "stack.json").unlink(missing_ok=True)


def checked_model(settings: Settings) -> Manifest:
    """Raises `Misconfigured` if the bundle is broken; without torch, so that the answer comes at once."""
    return check_files(Path(settings.model) if settings.model else STARTER)


def _usable(port: int) -> int:
    with bind(port) as listener:
        return int(listener.getsockname()[1])


def _write(run: Path, shared: Settings, since: str, children: list[Process]) -> None:
    write_stack(run, shared.url, [Process("up", getpid(), since), *children], stack.backends(shared))


@contextmanager
def _log(run: Path, level: str) -> Iterator[Log]:
    """`up` logs into a file: its stdout belongs to the one line that says `ready`."""
    (run / "logs").mkdir(exist_ok=True)
    with (run / "logs" / "up.log").open("a", buffering=1) as file:
        yield Log("up", level, lambda line: file.write(line + "\n"))


def _serve(supervisor: Supervisor, settings: Settings, samples: bool) -> None:
    """The sample photos are drawn, and sent on the first start, beside the stack."""
    command = child.command((sys.executable, "-m", "local.welcome", *(["--send"] if samples else [])))
    with log_file(settings.data / "run" / "logs", "welcome").open("ab") as log:
        welcome = subprocess.Popen(
            command, env=settings.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    threading.Thread(target=welcome.wait, name="welcome", daemon=True).start()  # or it stays behind as a zombie
    try:
        supervisor.watch()
    finally:
        welcome.kill()
        welcome.wait()
