"""`maskline ps`: every process of the running stack."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from local.runfiles import processes
from shared.settings import Settings


def add(commands: Any) -> None:
    parser = commands.add_parser("ps", help="list the processes of the running stack", description=__doc__)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    rows = processes(settings.data)
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
        return 0
    for row in rows:
        print(f"{row.role:10} {row.pid:>8}  since {row.since}")
    if not rows:
        print("nothing runs on this data folder")
    return 0
