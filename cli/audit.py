"""`maskline audit`: does every upload have exactly one outcome? Exit 1 if not."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from typing import Any

from local.runfiles import backends
from shared.audit import audit
from shared.errors import Misconfigured
from shared.runtime import connect
from shared.settings import Settings


def add(commands: Any) -> None:
    parser = commands.add_parser("audit", help="does every upload have exactly one outcome?", description=__doc__)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    running: dict[str, Any] = backends(settings.data)
    if settings.profile == "local" and not running and not (settings.data / "documents.db").exists():
        raise Misconfigured("this data folder holds no predictions: name the stack's folder with --data")
    report = audit(connect(replace(settings, **running)))
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        for name, lines in asdict(report).items():
            print(f"{name}: {len(lines)}")
            for line in lines:
                print(f"  {line}")
    return 0 if report.clean else 1
