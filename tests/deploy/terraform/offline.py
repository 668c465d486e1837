"""Terraform without the cloud: the real core and the real schema, behind a stand-in provider that invents what Google
would answer. It knows names, types and enumerations; quotas, permissions and query languages it does not know."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy import bundle

ROOT = Path(__file__).resolve().parents[3]
_TOOL = ROOT.parent / "shared/tools/terraform"
_AGENT = "serviceAccount:service-123@gs-project-accounts.iam.gserviceaccount.com"
_ANSWERS = {"google_project": {"number": "123"}, "google_storage_project_service_account": {"member": _AGENT}}
_PATIENCE = 150  # s for one command on a busy machine
_LOCAL_STATE = 'terraform {\n  backend "local" {}\n}\n'


@dataclass(frozen=True, slots=True)
class Resource:
    """As planned."""

    address: str
    type: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Workspace:
    """A copy of what Terraform reads, with a state of its own."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)

    def terraform(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ("terraform", *arguments),
            cwd=self.folder / "terraform",
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )

    def done(self, *arguments: str) -> str:
        """Output of a command that succeeds."""
        ran = self.terraform(*arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def plan(self, *arguments: str) -> list[Resource]:
        self.done("plan", "-input=false", "-refresh=false", "-out=plan", *arguments)
        return _resources(json.loads(self.done("show", "-json", "plan"))["planned_values"]["root_module"])

    def copy(self, folder: Path) -> Workspace:
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workspace(folder, self.environment)


def workspace(folder: Path, environment: Mapping[str, str]) -> Workspace:
    """Initialised, with the bundles of the functions as they are."""
    made = Workspace(folder, environment)
    shutil.copytree(
        ROOT / "terraform", folder / "terraform", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*")
    )
    for name in ("pipeline.yaml", "firestore.rules"):
        shutil.copy(ROOT / name, folder)
    bundle.write(folder / "build/functions", bundle.functions())
    (folder / "terraform/backend_override.tf").write_text(_LOCAL_STATE)
    made.done("init", "-input=false")
    return made


@contextmanager
def provider() -> Iterator[Mapping[str, str]]:
    """Runs the stand-in; yields the environment in which Terraform finds it. Skips without it."""
    if not (_TOOL / "tfstub.py").exists():
        pytest.skip("the offline provider is not beside this checkout")
    if not shutil.which("terraform"):
        assert os.environ.get("CI") != "true", "CI has terraform"
        pytest.skip("terraform is not installed")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    tell = 'printf "%s\\n" "$TF_REATTACH_PROVIDERS"; exec cat'  # then stay until stdin is closed
    command = (sys.executable, _TOOL / "tfstub.py", _TOOL / "google-schema.json", "--", "sh", "-c", tell)
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=kept | {"TFSTUB_DATA": json.dumps(_ANSWERS)}, **pipes) as running:
        assert running.stdout is not None
        found = running.stdout.readline().strip()
        quick = {"CHECKPOINT_DISABLE": "1", "GOGC": "400"}  # a process of a second need not collect its garbage
        yield kept | quick | {"TF_REATTACH_PROVIDERS": found, "TF_CLI_ARGS": "-no-color"}


def _resources(module: Mapping[str, Any]) -> list[Resource]:
    own = [
        Resource(r["address"], r["type"], r["values"]) for r in module.get("resources", []) if r["mode"] == "managed"
    ]
    return own + [found for child in module.get("child_modules", []) for found in _resources(child)]
