"""S7, S18, S23: what clients may read of the database, what is never called, and what may be installed."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("shared", "functions", "inference_container", "local", "cli")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
NEVER = {
    "eval",
    "exec",
    "compile",
    "os.system",
    "os.popen",
    "pickle.load",
    "pickle.loads",
    "torch.load",
    "marshal.loads",
}


def test_nobody_writes_to_the_database_from_outside_and_each_reads_their_own() -> None:
    rules = re.sub(r"//.*", "", (ROOT / "firestore.rules").read_text("utf-8"))
    allowed = re.findall(r"allow ([a-z, ]+):\s*if ([^;]+);", rules)
    assert len(allowed) == rules.count("allow ")
    assert {verbs for verbs, _ in allowed} == {"read"}
    assert all("own()" in condition or "signedIn()" in condition for _, condition in allowed)
    assert "quotas" not in rules


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_runs_what_it_was_sent(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    assert [ast.unparse(call.func) for call in calls if ast.unparse(call.func) in NEVER] == []
    shells = [call for call in calls for given in call.keywords if given.arg == "shell"]
    assert shells == []


def test_everything_that_is_installed_has_one_version() -> None:
    pinned = _pins(ROOT / "constraints.txt")
    for file in sorted((ROOT / "functions").glob("*/requirements.txt")):
        for name, version in _pins(file).items():
            assert pinned.get(name) == version, f"{file.parent.name}: {name}"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {re.split(r"[\[=<>~!]", line)[0].lower().replace("_", "-") for lines in extras.values() for line in lines}
    assert named - {"maskline", "torch"} <= pinned.keys()


def _pins(file: Path) -> dict[str, str]:
    lines = [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z]+\])?==[^ ;*]+( ;.*)?", line) for line in lines), file
    return {re.split(r"[\[=]", line)[0].lower().replace("_", "-"): line.split("==")[1].split()[0] for line in lines}
