"""`maskline up`: start the whole system on this machine."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from typing import Any

from shared.errors import Misconfigured
from shared.settings import Settings


def add(commands: Any) -> None:
    parser = commands.add_parser("up", help="start the whole system on this machine", description=__doc__)
    parser.add_argument("--profile", choices=("local", "emulator"), help="which backends (default: local)")
    parser.add_argument("--port", type=int, default=8080, help="of page and API; 0: any free one (default: 8080)")
    parser.add_argument("--no-samples", action="store_true", help="do not segment the sample photos on a first start")
    parser.add_argument("--detach", action="store_true", help="return when it is ready, and leave it running")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    if settings.profile == "gcp":
        raise Misconfigured("`maskline up` runs on this machine: the profile is local or emulator")
    if options.detach:
        return _detached(options, settings)
    from local.up import up

    up(replace(settings, data=settings.data.resolve()), options.port, not options.no_samples, _ready)
    return 0


def _ready(url: str) -> None:
    print(f"ready {url}", flush=True)


def _detached(options: argparse.Namespace, settings: Settings) -> int:
    """The same command in a session of its own; its first line is passed on, or why there is none.

    Its stderr is a file without a name: with ours, who reads our output would wait until the stack ends.
    """
    command = [sys.executable, "-m", "cli.main", "up", "--port", str(options.port)]
    command += ["--no-samples"] * options.no_samples
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            env=settings.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
        line = _first_line(process)
        print(line, end="", flush=True)
        if line.startswith("ready "):
            return 0
        status = process.wait()
        said.seek(0)
        print(said.read().decode("utf-8", "replace"), end="", file=sys.stderr)
    return status or 1


def _first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    try:
        return process.stdout.readline().decode()
    except BaseException:  # Ctrl-C: nothing half-started stays
        process.terminate()
        raise
