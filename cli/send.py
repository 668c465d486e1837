"""`maskline send FILE…`: upload photos and, with `--wait`, follow each to its end and fetch its mask."""

from __future__ import annotations

import argparse
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cli.client import Client, connect, content_type_of
from shared.errors import MasklineError, Misconfigured, Rejected
from shared.limits import check_size
from shared.settings import Settings

_AT_ONCE = 8
_STEM_BYTES = 200  # of a photo's name in its mask's: a file system takes 255 in all
Row = dict[str, Any]


def add(commands: Any) -> None:
    parser = commands.add_parser("send", help="upload photos", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--wait", action="store_true", help="follow each photo to its end and fetch its mask")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the masks (default: out)")
    parser.add_argument("--user", default="demo", help="whose photos they are, in the local profile (default: demo)")
    parser.add_argument("--token", default="", help="an ID token; without one, a development token is made")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    client = connect(settings, options.user, options.token)
    if options.wait:
        make_folder(options.out)
    rows = upload(client, options.files)
    if options.wait:
        rows = follow(client, rows, options.out)
    report(rows, options.json)
    good = ("SUCCEEDED",) if options.wait else ("AWAITING_UPLOAD", "QUEUED", "RUNNING", "SUCCEEDED")
    return 0 if all(row["state"] in good and not row.get("error") for row in rows) else 1


def make_folder(out: Path) -> None:
    """Before anything is sent. Raises `Misconfigured`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"the folder for the masks cannot be used: {error.strerror}") from None


def upload(client: Client, files: Iterable[Path]) -> list[Row]:
    """One row per file, in order: `{file, id, state}`, or with an `error` if it never got an id."""
    return each(client, "sending", list(files), lambda file: _upload_one(client, file))


def follow(client: Client, rows: list[Row], out: Path) -> list[Row]:
    """The rows at their end: `mask` is the file in the folder `out` that the mask was written to."""
    return each(client, "segmenting", rows, lambda row: _follow_one(client, row, out))


def report(rows: list[Row], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows))
        return
    width = max(len(row["file"]) for row in rows)
    for row in rows:
        told = row.get("mask") or row.get("error", {}).get("message", row["id"])
        print(f"{row['file']:{width}}  {row['state']:10}  {told}")


def _upload_one(client: Client, file: Path) -> Row:
    row: Row = {"file": str(file), "id": None, "state": "REJECTED"}
    try:
        check_size(file.stat().st_size)
        data = file.read_bytes()
        prediction = client.create(content_type_of(file, data[:16]), len(data), str(uuid.uuid4()))
        row["id"] = prediction["id"]
        client.upload(prediction, data)
        return row | {"state": prediction["state"]}
    except OSError as error:
        return row | {
            "state": "FAILED",
            "error": {"reason": "SOURCE_MISSING", "message": error.strerror or "unreadable"},
        }
    except Rejected as error:
        return row | {"error": {"reason": error.reason, "message": str(error)}}
    except MasklineError as error:
        return row | {"state": "FAILED", "error": {"reason": "INTERNAL", "message": str(error)}}


def _follow_one(client: Client, row: Row, out: Path) -> Row:
    if row.get("error"):
        return row
    try:
        prediction = client.wait(row["id"])
        row |= {key: prediction[key] for key in ("state", "error", "result", "timings", "model") if prediction.get(key)}
        if row["state"] == "SUCCEEDED":
            mask = out / mask_name(Path(row["file"]), row["id"])
            mask.write_bytes(client.mask(prediction))
            row["mask"] = str(mask)
    except MasklineError as error:
        row["error"] = {"reason": "INTERNAL", "message": str(error)}
    except OSError as error:
        row["error"] = {"reason": "INTERNAL", "message": f"the mask could not be written: {error.strerror}"}
    return row


def mask_name(file: Path, prediction_id: str) -> str:
    """With the end of the id: photos of different folders may have the same name."""
    stem = os.fsencode(file.stem)[:_STEM_BYTES].decode("utf-8", "ignore")
    return f"{stem}.{prediction_id[-6:]}.mask.png"


def each(client: Client, what: str, items: list[Any], work: Callable[[Any], Row]) -> list[Row]:
    """What `work` makes of each item, in order; a few at once, with a progress bar called `what`."""
    rows: dict[int, Row] = {}
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        with tqdm(total=len(items), desc=what, file=sys.stderr, unit="photo") as bar:
            running = {pool.submit(work, item): place for place, item in enumerate(items)}
            for done in as_completed(running):
                rows[running[done]] = done.result()
                bar.update()
    except BaseException:  # Ctrl-C: what is on its way goes on without us
        client.give_up()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return [rows[place] for place in range(len(items))]
