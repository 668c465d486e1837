"""`maskline audit`: does every upload have exactly one outcome, and every message a purpose? Exit 1 if not.

It reads only. What could not be looked at is said on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from typing import Any

from local.runfiles import backends
from shared import pipeline
from shared.audit import audit
from shared.backlog import expected
from shared.errors import MasklineError, Misconfigured
from shared.ports import Backlogs, Figures, Messages
from shared.runtime import connect
from shared.settings import Settings


def add(commands: Any) -> None:
    parser = commands.add_parser("audit", help="does every upload have exactly one outcome?", description=__doc__)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    running: dict[str, Any] = backends(settings.data)
    if settings.profile == "local" and not running and not (settings.data / "documents.db").exists():
        raise Misconfigured("this data folder holds no predictions: name the stack's folder with --data")
    there = replace(settings, **running)
    messages = _messages(there)  # first: what is taken meanwhile must not look as if it had never been there
    report = audit(connect(there), messages=messages)
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        for name, lines in asdict(report).items():
            print(f"{name}: {len(lines)}")
            for line in lines:
                print(f"  {line}")
    return 0 if report.clean else 1


def _messages(settings: Settings) -> Messages | Figures | None:
    try:
        found = _backlogs(settings).look()
    except MasklineError as error:
        _say(f"messages were not looked at: {_cause(error, settings)}")
        return None
    if isinstance(found, Figures) and (unknown := expected(pipeline.load()) - set(found.subscriptions)):
        _say(f"there are no figures of {', '.join(sorted(unknown))}: what waits there was not looked at")
    return found


def _backlogs(settings: Settings) -> Backlogs:
    if settings.profile == "emulator":
        raise Misconfigured("the Pub/Sub emulator shows a message only to who takes it")
    if settings.profile == "gcp":
        from shared.adapters.google.backlogs import CloudBacklogs

        return CloudBacklogs(settings.project)
    from local.backlogs import backlogs_of

    return backlogs_of(settings)


def _cause(error: MasklineError, settings: Settings) -> str:
    if settings.profile != "gcp":
        return str(error)
    from shared.adapters.google.diagnosis import diagnose

    found = diagnose(error, settings.project)
    return f"{found.cause}; {found.step}"


def _say(text: str) -> None:
    print(f"maskline: {text}", file=sys.stderr)
