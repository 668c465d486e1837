"""`maskline up`: start the whole system on this machine."""

from __future__ import annotations

import argparse
import subprocess
import sys
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
    """The same command in a session of its own; its first line is passed on."""
    command = [sys.executable, "-m", "cli.main", "up", "--port", str(options.port)]
    command += ["--no-samples"] * options.no_samples
    process = subprocess.Popen(
        command,
        env=settings.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    sys.stdout.write(line)
    return 0 if line.startswith("ready ") else process.wait()
