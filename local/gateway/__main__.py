"""`python -m local.gateway --port N --api URL --objects URL --metrics NAME=URL …`: settings from the environment."""

from __future__ import annotations

import argparse

from starlette.types import ASGIApp

from local import serving
from local.gateway.app import app
from shared.errors import Misconfigured
from shared.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.gateway")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--api", required=True, help="base URL of what answers /v1/")
    parser.add_argument("--objects", required=True, help="base URL of what answers /storage/")
    parser.add_argument("--metrics", action="append", default=[], metavar="NAME=URL", help="a service to watch")
    args = parser.parse_args()
    watched = dict(pair.split("=", 1) for pair in args.metrics)
    try:
        samples = Settings.from_env().data / "run" / "samples"

        def make() -> ASGIApp:
            return app(args.api, args.objects, watched, samples)

        serving.serve(make, args.port)
    except Misconfigured as error:
        serving.refuse(error)


if __name__ == "__main__":
    main()
