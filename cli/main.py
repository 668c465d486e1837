"""`maskline`: picks the command. Each command's module is imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import io
import sys
from pathlib import Path

from shared.errors import MasklineError, Misconfigured
from shared.settings import Settings

COMMANDS = ("up", "ps", "token", "send", "audit", "doctor", "demo")
_STARTS_ITS_OWN = ("up", "demo")  # all others ask the running stack


def main(arguments: list[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold what a terminal cannot show
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser(given).parse_args(given)
    try:
        settings = Settings.from_env(
            data=options.data, url=getattr(options, "url", None), profile=getattr(options, "profile", None)
        )
    except Misconfigured as error:
        if "refused" in options:
            return int(options.refused(options, error))
        print(f"maskline: {error}", file=sys.stderr)
        return 1
    try:
        status: int = options.run(options, settings)
    except MasklineError as error:
        print(f"maskline: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parser(given: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="maskline", description="Photos in, masks out: the whole system by command.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    asked = next((word for word in given if not word.startswith("-")), "")
    for name in (asked,) if asked in COMMANDS else COMMANDS:
        importlib.import_module(f"cli.{name}").add(commands)
    for name, command in commands.choices.items():
        if name != "up":
            command.add_argument("--json", action="store_true", help="one JSON document on stdout")
        if name not in _STARTS_ITS_OWN:
            command.add_argument("--url", help="the running stack (MASKLINE_URL, default http://127.0.0.1:8080)")
        command.add_argument("--data", type=Path, help="its data folder (MASKLINE_DATA, default ./data)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
