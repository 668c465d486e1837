"""The threat model names the test that guards each line: every one of them exists, and no line is without."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/explanation/threat-model.md").read_text("utf-8")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
THREATS = re.compile(r"^\| (\d+\.\d+) \|.*$", re.M)
ABUSES = re.compile(r"^\| (S\d+) \|.*$", re.M)


@cache
def functions_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_test_that_is_named_exists() -> None:
    named = TEST.findall(PAGE)
    assert len(named) > 60
    assert [f"{file}::{name}" for file, name in named if name not in functions_in(file)] == []


def test_every_threat_and_every_abuse_has_its_test() -> None:
    rows = [*THREATS.finditer(PAGE), *ABUSES.finditer(PAGE)]
    assert [row[1] for row in rows if not TEST.search(row[0])] == []
    assert [row[1] for row in ABUSES.finditer(PAGE)] == [f"S{number}" for number in range(1, 25)]


def test_every_edge_that_is_drawn_has_its_lines() -> None:
    drawn = set(re.findall(r"\((\d+)\)", PAGE.split("```")[1]))
    assert drawn == {row[1].split(".")[0] for row in THREATS.finditer(PAGE)}
