"""Firestore's security rules on the official emulator: one test here for each test of `rules.test.mjs`, in which the
official web SDK asks. What it asks for was written by our own API: the rules are held to the fields that it writes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from shared import registry
from shared.adapters.google.documents import FirestoreDocuments
from shared.adapters.local.objects import LocalObjects
from shared.ports import Documents
from shared.settings import Settings
from tests.contract import emulators
from tests.integration.apis import Backend, announce, caller

FOLDER = Path(__file__).parent
RULES = FOLDER.parents[2] / "firestore.rules"
NAMES = re.findall(r'^test\("(.+?)",', (FOLDER / "rules.test.mjs").read_text("utf-8"), re.MULTILINE)
INTERNAL = ("instances/a", "serving/stable", "sweeps/uploads", "quotas/ana", "experiments/a", "users/ana")
PATIENCE = 150  # s; an installation downloads 40 MB

pytestmark = pytest.mark.timeout(2 * PATIENCE)


@dataclass(frozen=True)
class Asked:
    """`problems`: what each test said, None if it passed; `coverage`: the emulator's report on every expression."""

    problems: Mapping[str, str | None]
    coverage: Mapping[str, Any]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    install()
    host, project = emulators.firestore(), emulators.new_project()
    folder = tmp_path_factory.mktemp("rules")
    documents = FirestoreDocuments(project, host)
    seeded = asyncio.run(seed(folder, project, documents))
    documents.close()
    known = {"FIRESTORE": host, "PROJECT": project, "RULES": str(RULES), "SEEDED": json.dumps(seeded)}
    problems = run(known | {"INTERNAL": " ".join(INTERNAL)}, folder / "junit.xml")
    return Asked(problems, httpx.get(f"http://{host}/emulator/v1/projects/{project}:ruleCoverage").json())


def install() -> None:
    """The web SDK, as the lock file has it. A laptop without Node or npm's registry skips; CI fails."""
    lock, installed = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    if shutil.which("npm") is None:
        missing("needs Node 20 or newer: apt install nodejs npm")
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except subprocess.TimeoutExpired:
        missing("the web SDK cannot be installed: npm's registry does not answer")
    except subprocess.CalledProcessError as error:
        missing(f"the web SDK cannot be installed: {error.stderr.strip()[-300:]}")


def missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


async def seed(folder: Path, project: str, documents: FirestoreDocuments) -> dict[str, str]:
    """Predictions of ana through the API: done, running, one to be deleted and one that is. Their ids."""
    settings = Settings.from_env({}, data=folder, url="http://maskline.test", project=project)
    stack = Backend(settings, documents, LocalObjects(folder, settings.url), [])
    async with caller(stack, "ana") as ana:
        ids = {name: (await announce(ana))["id"] for name in ("done", "running", "leaving", "deleted")}
        for name in ("done", "leaving", "deleted"):
            stack.succeed(ids[name])
        stack.queue(ids["running"])
        given = str(uuid.uuid4())
        word = await ana.put(f"/v1/predictions/{ids['done']}/feedback/{given}", json={"verdict": "good"})
        assert word.status_code == 201
        assert (await ana.delete(f"/v1/predictions/{ids['deleted']}")).status_code == 204
    write_internals(documents)
    return ids | {"feedback": given}


def write_internals(documents: Documents) -> None:
    registry.register(documents, {"name": "starter", "version": "1"})
    for path in INTERNAL:
        if documents.get(path) is None:
            documents.create(path, {"ownerUid": "ana", "heartbeatTime": datetime.now(UTC)})


def run(known: Mapping[str, str], report: Path) -> dict[str, str | None]:
    command = ["node", "--test", "--test-reporter=junit", f"--test-reporter-destination={report}", "rules.test.mjs"]
    done = subprocess.run(
        command, cwd=FOLDER, env=os.environ | known, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    cases = ElementTree.parse(report).iter("testcase") if report.exists() else []
    problems = {case.attrib["name"]: _problem(case) for case in cases}
    assert problems, done.stderr[-2000:]
    return problems


def _problem(case: ElementTree.Element) -> str | None:
    failure = case.find("failure")
    return None if failure is None else f"{failure.attrib.get('message', '')}\n{failure.text or ''}"


@pytest.mark.parametrize("name", NAMES)
def test_rule(name: str, asked: Asked) -> None:
    assert asked.problems[name] is None


def test_every_condition_was_seen_to_hold_and_not_to_hold(asked: Asked) -> None:
    """By the emulator's own count: the allows, the functions that they call, and each part of them."""
    text = RULES.read_text("utf-8")
    seen = dict(conditions(asked.coverage["report"]))
    assert {text.count("\n", 0, start) for start, _ in seen} == {
        number for number, line in enumerate(text.splitlines()) if re.search(r"\bif\b.*;|\breturn\b", line)
    }
    assert {text[start:end]: held for (start, end), held in seen.items() if held != {True, False}} == {}


def conditions(report: Sequence[Mapping[str, Any]]) -> Iterator[tuple[tuple[int, int], set[bool]]]:
    """Where each condition is in the text, and the values that it took."""
    for one in report:
        values = [value["value"]["boolValue"] for value in one.get("values", []) if "boolValue" in value["value"]]
        if values or not one.get("values"):
            place = one["sourcePosition"]
            yield (place["currentOffset"], place["endOffset"]), set(values)
        yield from conditions(one.get("children", []))
