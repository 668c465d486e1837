"""`maskline token --user NAME`: a development ID token for the local profile."""

from __future__ import annotations

import argparse
import json
from typing import Any

from local import devtoken
from shared.errors import Misconfigured
from shared.settings import Settings


def add(commands: Any) -> None:
    parser = commands.add_parser("token", help="a development ID token", description=__doc__)
    parser.add_argument("--user", required=True, metavar="NAME", help="the user id that the token names")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    if settings.profile == "gcp":
        raise Misconfigured("development tokens are for the local profile: on Google Cloud, sign in through Firebase")
    token = devtoken.issue(settings, options.user)
    print(json.dumps({"token": token, "user": options.user}) if options.json else token)
    return 0
