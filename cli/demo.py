"""`maskline demo`: the whole system once through, without a browser; exit 0 only if every photo got its mask."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli.client import connect
from cli.overlay import BACKGROUND, write_overlay
from cli.send import Row, follow, make_folder, upload
from local import child
from local.child import stop_signals
from shared.errors import Misconfigured
from shared.settings import Settings

_USER = "demo"
_TRACE = 0.01  # of the photo's area: less is not worth a word
_STOP_SECONDS = 20.0  # s; `up` takes less than 15 to stop everything


def add(commands: Any) -> None:
    parser = commands.add_parser("demo", help="segment the sample photos in a stack of its own", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for masks and overlays (default: out)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    from local.samples import prepare

    for number in stop_signals():
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # as Ctrl-C: through every `finally`
    with tempfile.TemporaryDirectory(prefix="maskline-") as folder:
        files = prepare(Path(folder) / "samples")
        with _stack(replace(settings, data=Path(folder) / "data")) as running:
            client = connect(running, _USER)
            make_folder(options.out)
            rows = follow(client, upload(client, files), options.out)
        rows = [_with_overlay(row) for row in rows]
    failed = sum(row["state"] != "SUCCEEDED" for row in rows)
    print(json.dumps(rows) if options.json else "\n".join(_table(rows)))
    if not options.json:
        print(f"{len(rows) - failed} succeeded, {failed} failed")
    return 1 if failed else 0


@contextmanager
def _stack(settings: Settings) -> Iterator[Settings]:
    """A stack on a free port, and the settings that find it. However this ends, no process is left."""
    command = [sys.executable, "-m", "cli.main", "up", "--port", "0", "--no-samples"]
    process = subprocess.Popen(
        child.command(command),
        env=settings.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops it
    )
    try:
        yield replace(settings, url=_url(process))
    finally:
        _stop(process)


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    word, _, url = process.stdout.readline().strip().partition(" ")
    if word != "ready":
        raise Misconfigured("the stack did not start")
    return url


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _with_overlay(row: Row) -> Row:
    if "mask" not in row:
        return row
    mask = Path(row["mask"])
    target = mask.with_name(mask.name.replace(".mask.png", ".overlay.jpg"))
    write_overlay(Path(row["file"]), mask.read_bytes(), target)
    return row | {"overlay": str(target)}


def _table(rows: list[Row]) -> Iterator[str]:
    cells = [("photo", "size", "state", "time", "found"), *(_cells(row) for row in rows)]
    widths = [max(len(cell[column]) for cell in cells) for column in range(4)]
    for cell in cells:
        yield "  ".join([f"{text:{width}}" for text, width in zip(cell[:4], widths, strict=True)] + [cell[4]])


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    result = row.get("result", {})
    size = f"{result['width']}x{result['height']}" if result else ""
    total = row.get("timings", {}).get("total")
    seconds = f"{total / 1000:.2f} s" if total else ""
    return Path(row["file"]).name, size, row["state"], seconds, _found(row)


def _found(row: Row) -> str:
    if row.get("error"):
        return str(row["error"]["message"])
    classes = [one for one in row.get("result", {}).get("classes", []) if one["id"] != BACKGROUND]
    worth = sorted((one for one in classes if one["fraction"] >= _TRACE), key=lambda one: -one["fraction"])
    return ", ".join(f"{one['name']} {one['fraction']:.0%}" for one in worth) or "nothing recognised"
