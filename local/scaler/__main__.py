"""`python -m local.scaler --port N [--revisions '[{"name": "b", "arm": "candidate", "model": "DIR"}]']`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from starlette.types import ASGIApp

from local import serving
from local.scaler import revisions
from local.scaler.app import app
from local.scaler.fleet import Limits
from local.scaler.revisions import Revision
from local.scaler.scaler import END_SECONDS, Command, Scaler
from shared.errors import Misconfigured
from shared.logs import Log
from shared.settings import Settings


def main(command: Command = revisions.container) -> None:
    """`command`: what one instance runs."""
    parser = argparse.ArgumentParser(prog="python -m local.scaler")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--revisions", default="[]", help="JSON list of {name, arm, model}, beside the default one")
    args = parser.parse_args()
    try:
        _serve(args.port, revisions.parse(args.revisions), command)
    except Misconfigured as error:
        serving.refuse(error)


def _serve(port: int, known: Sequence[Revision], command: Command) -> None:
    settings = Settings.from_env()
    limits = Limits(settings.max_instances, settings.instance_capacity, settings.idle_seconds)
    run = settings.data / "run"
    log = Log("scaler", settings.log_level)
    scaler = Scaler(known, limits, settings.ack_deadline_seconds, command, run, log)

    def make() -> ASGIApp:
        (run / "logs").mkdir(parents=True, exist_ok=True)
        return app(scaler)

    serving.serve(make, port, END_SECONDS, scaler.close)


if __name__ == "__main__":
    main()
