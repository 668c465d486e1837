"""`maskline doctor`: checks configuration, timings, model and permissions, says what to do; exit 1 if a check fails."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cli.findings import Finding
from shared import capacity, pipeline
from shared.errors import MasklineError, Misconfigured
from shared.runtime import connect
from shared.settings import Settings

_FREE_BYTES = 1 << 30
_LEDGERS = 200  # photos


def add(commands: Any) -> None:
    parser = commands.add_parser("doctor", help="check this installation", description=__doc__)
    parser.set_defaults(run=run, refused=refused)


def run(options: argparse.Namespace, settings: Settings) -> int:
    return _told(options, list(examine(settings)))


def refused(options: argparse.Namespace, error: Misconfigured) -> int:
    """The settings themselves are wrong."""
    return _told(options, [Finding("settings", False, str(error), "correct or unset them: docs/reference/settings.md")])


def _told(options: argparse.Namespace, findings: Sequence[Finding]) -> int:
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.check:14} {finding.message}")
            if finding.next:
                print(f"      {'':14} → {finding.next}")
    return 0 if all(finding.ok for finding in findings) else 1


def examine(settings: Settings) -> Iterator[Finding]:
    yield _checked("python", _python, "install Python 3.11 or newer")
    yield _checked("packages", lambda: _packages(settings), "run `make setup`")
    yield _checked("pipeline", lambda: _pipeline(settings), "correct pipeline.yaml or the MASKLINE_* settings")
    yield _checked("model", lambda: _model(settings), "point MASKLINE_MODEL to a complete bundle, or unset it")
    if settings.profile == "gcp":
        from cli.cloud import examine_cloud

        yield from examine_cloud(settings)
        return
    yield _checked("data folder", lambda: _data(settings), "choose another folder with --data")
    with suppress(Misconfigured):  # of pipeline.yaml, which has its finding already
        yield _capacity(settings, pipeline.load().capacity["local"])
    if settings.profile == "emulator":
        yield _checked("emulators", _emulators, "install what is missing, or use the local profile")


def _checked(name: str, check: Callable[[], str], step: str) -> Finding:
    try:
        return Finding(name, True, check())
    except MasklineError as error:
        return Finding(name, False, str(error), step)


def _python() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    return f"Python {version}"


def _packages(settings: Settings) -> str:
    needed = ["torch", "PIL", "starlette", "uvicorn", "functions_framework", "httpx", "yaml"]
    if settings.profile != "local":
        needed += ["google.cloud.firestore", "google.cloud.pubsub", "google.cloud.storage"]
    missing = [name for name in needed if not _installed(name)]
    if missing:
        raise Misconfigured(f"not installed: {', '.join(missing)}")
    return f"{len(needed)} of {len(needed)} found"


def _emulators() -> str:
    from local.emulators import firestore_command, pubsub_command

    firestore_command(1)
    pubsub_command(1)
    return "Java and the emulators of Firestore and Pub/Sub are installed"


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _pipeline(settings: Settings) -> str:
    table = pipeline.load()
    return (
        f"{len(table.stages)} stages, {len(table.subscriptions)} subscriptions; work budget "
        f"{settings.work_budget_seconds:g} s < lease {settings.lease_seconds:g} s < ack deadline "
        f"{settings.ack_deadline_seconds:g} s"
    )


def _model(settings: Settings) -> str:
    from inference_container.manifest import STARTER, check_files

    manifest = check_files(Path(settings.model) if settings.model else STARTER)
    names = ", ".join(one.name for one in manifest.classes)
    return f"{manifest.name} {manifest.version} ({manifest.architecture}): {names}"


def _capacity(settings: Settings, base: capacity.Capacity) -> Finding:
    """Never a failure: what was measured on this machine may have been another day's load."""
    inside, rows = settings.instance_capacity, _ledgers(settings)
    found = capacity.observed(base, inside, rows)
    times = capacity.Times(settings.work_budget_seconds, settings.lease_seconds, settings.ack_deadline_seconds)
    wrong = list(capacity.complaints(found, inside, settings.max_batch, times))
    basis = (
        f"an instance takes {inside} photos, starts in {found.cold_start:.1f} s (the last {len(rows)} photos); "
        f"{settings.max_instances} can serve {capacity.peak(found, settings.max_instances):.0f} images/s"
    )
    return Finding("capacity", True, "; ".join([basis, *wrong]), "adjust these settings" if wrong else "")


def _ledgers(settings: Settings) -> list[Mapping[str, float]]:
    """Timings of the last photos here, in ms; none where nothing ran yet."""
    if settings.profile != "local" or not (settings.data / "documents.db").exists():
        return []
    documents = connect(settings).documents
    newest = documents.query("predictions", order_by=[("createTime", "desc")], limit=_LEDGERS)
    return [row.data["timings"] for row in newest if row.data["state"] == "SUCCEEDED"]


def _data(settings: Settings) -> str:
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data):
            free = shutil.disk_usage(settings.data).free
    except OSError as error:
        raise Misconfigured(f"the data folder cannot be used: {error.strerror}") from None
    if free < _FREE_BYTES:
        raise Misconfigured(f"only {free / 2**20:.0f} MiB are free")
    return f"writable, {free / 2**30:.0f} GiB free"
