"""The layout's rules, held by reading the code: who may import what, who reads the environment, how long things get."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("shared", "functions", "inference_container", "local", "cli", "deploy", "benchmarks")
MODULE_CAP = 400  # lines
FUNCTION_CAP = 60  # lines


def modules(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def offenders(paths: list[Path], *forbidden: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in imports(path)
        if any(name == bad or name.startswith(bad + ".") for bad in forbidden)
    ]


def test_functions_and_shared_never_import_torch() -> None:
    assert offenders(modules("shared", "functions"), "torch", "inference_container", "local", "cli") == []


def test_google_clients_stay_in_their_adapters() -> None:
    elsewhere = [p for p in modules(*PACKAGES) if "adapters/google" not in p.as_posix()]
    assert offenders(elsewhere, "google.cloud", "google.api_core") == []


def test_the_container_knows_no_local_profile() -> None:
    assert offenders(modules("inference_container"), "local", "cli", "functions") == []


def test_the_environment_is_read_in_one_place() -> None:
    allowed = {ROOT / "shared/settings.py"}
    readers = [
        str(path.relative_to(ROOT))
        for path in modules("shared", "functions", "inference_container")
        if path not in allowed and any(word in path.read_text("utf-8") for word in ("os.environ", "os.getenv"))
    ]
    assert readers == []


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_and_functions_stay_short(path: Path) -> None:
    source = path.read_text("utf-8")
    assert source.count("\n") <= MODULE_CAP
    long = [
        f"{node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_CAP
    ]
    assert long == []


@pytest.mark.parametrize("stage", sorted(p.parent.name for p in (ROOT / "functions").glob("*/main.py")))
def test_a_function_starts_without_heavy_imports(stage: str) -> None:
    # `google.cloud` itself is an empty namespace that a .pth file of functions-framework puts into every process.
    google = ["google.api_core", "google.cloud.firestore", "google.cloud.pubsub", "google.cloud.storage", "grpc"]
    heavy = ["torch", "numpy", "PIL", "yaml", "pydantic", "aiohttp", *google]
    probe = f"import sys, functions.{stage}.main; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_function_folder_holds_its_entry_and_its_requirements_only() -> None:
    folders = [p for p in (ROOT / "functions").iterdir() if p.is_dir() and p.name != "__pycache__"]
    for folder in folders:
        assert {p.name for p in folder.iterdir()} - {"__pycache__"} == {"main.py", "requirements.txt"}
