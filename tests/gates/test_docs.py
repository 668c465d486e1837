"""Documentation is held to the code: links lead somewhere, commands exist, the tree drawn is the tree on disk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
OURS = re.compile(r"^[a-z_.]+/?$")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    dead = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_make_targets_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = set(re.findall(r"(?:`|^ *)make ([a-z]+)", page.read_text("utf-8"), re.M))
    assert named <= targets


def test_modules_that_are_named_as_commands_exist() -> None:
    named = {m for page in PAGES for m in re.findall(r"python -m ([a-z_][a-z_.]+)", page.read_text("utf-8"))}
    ours = {m for m in named if (ROOT / m.split(".")[0]).is_dir()}
    for module in ours:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_readme_draws_the_tree_on_disk() -> None:
    drawn = re.search(r"```\n(functions/.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert drawn is not None
    names = {line.split()[0].rstrip("/") for line in drawn[1].splitlines() if line and not line.startswith(" ")}
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".")}
    ignored = {"data", "out", "build", "maskline.egg-info", "node_modules", "checkpoints", "__pycache__"}
    assert names == folders - ignored


def test_every_adr_has_its_parts() -> None:
    for adr in (ROOT / "docs/adr").glob("*.md"):
        text = adr.read_text("utf-8")
        assert all(part in text for part in ("Status:", "## Context", "## Decision", "## Consequences")), adr.name
