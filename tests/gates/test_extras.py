"""Every runtime installs what it imports: third-party imports of a package are named in the extra that it runs with."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.gates.test_layering import ROOT, imports, modules

RUNS_WITH = {
    "functions": ("functions", "gcp"),
    "shared": ("functions", "gcp", "container"),
    "inference_container": ("container", "gcp"),
    "local": ("local", "gcp"),
    "cli": ("local", "gcp"),
    "deploy": ("local", "gcp"),
    "benchmarks": ("test", "gcp"),
    "tests": ("test", "gcp"),
}
OURS = {*RUNS_WITH}
BROUGHT = {  # by those above
    *("flask", "cloudevents", "gunicorn", "starlette", "uvicorn"),  # functions-framework
    *("google-api-core", "google-auth", "google-cloud-core", "grpcio", "grpcio-status", "requests"),  # Google's clients
    *("cryptography", "yarl", "anyio"),  # pyjwt[crypto], aiohttp, starlette
}
PIPELINE = ROOT / "shared/pipeline.py"  # for tools, which are of `local`
DISTRIBUTIONS = packages_distributions()


def named(extra: str) -> set[str]:
    """The distributions of an extra, with those of the extras that it contains."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    found: set[str] = set()
    for line in table[extra]:
        if inner := re.fullmatch(r"maskline\[(.*)\]", line):
            found |= {name for one in inner[1].split(",") for name in named(one)}
        else:
            found.add(re.split(r"[\[=<>~!]", line)[0].lower().replace("_", "-"))
    return found


def missing(path: Path, allowed: set[str]) -> list[str]:
    tops = {name.split(".")[0] for name in imports(path)} - OURS - set(sys.stdlib_module_names) - {"google"}
    return [
        f"{path.relative_to(ROOT)} imports {top}"
        for top in tops
        if not {name.lower().replace("_", "-") for name in DISTRIBUTIONS.get(top, [top])} & allowed
    ]


@pytest.mark.parametrize("package", RUNS_WITH)
def test_what_is_imported_is_installed(package: str) -> None:
    allowed = BROUGHT.union(*(named(extra) for extra in RUNS_WITH[package]))
    read = [path for path in modules(package) if path != PIPELINE]
    assert [line for path in read for line in missing(path, allowed)] == []
