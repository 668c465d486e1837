"""Bundles where they would run: unpacked into a folder of their own, beside an empty virtual environment that gets
nothing but what `requirements.txt` names."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import httpx

from shared import pipeline
from tests.deploy.backends import Backends
from tests.integration.containers import free_port, wait_for


@dataclass(frozen=True, slots=True)
class Unpacked:
    stage: str
    folder: Path
    python: Path

    def answers(self, script: str) -> str:
        """What `script` prints, run by the environment's Python in the bundle's folder."""
        done = subprocess.run(
            [self.python, "-c", script], cwd=self.folder, env=clean(), capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    @contextmanager
    def serving(self, behind: Backends) -> Iterator[Running]:
        """Under functions-framework, as the platform starts it. It also writes down what it imports."""
        row = pipeline.load().stages[self.stage]
        port = free_port()
        command = [str(self.python), "-X", "importtime", "-m", "functions_framework", "--host", "127.0.0.1"]
        options = ["--port", str(port), "--target", row.entry, "--signature-type", row.signature]
        environment = clean() | behind.environment(self.stage) | row.server
        log = self.folder.with_suffix(".imports")
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*command, *options], cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=errors
            )
        try:
            wait_for(lambda: _listens(port), "the function does not answer")
            yield Running(port, log)
        finally:
            process.terminate()
            process.wait(20)


@dataclass(frozen=True, slots=True)
class Running:
    port: int
    log: Path

    def imported(self) -> set[str]:
        """Every module that the server and its worker have imported so far."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def unpack(bundle: Path, stage: str, folder: Path, environments: Path) -> Unpacked:
    """Equal requirements share an environment."""
    with zipfile.ZipFile(bundle) as packed:
        packed.extractall(folder)
    requirements = (folder / "requirements.txt").read_text("utf-8")
    environment = environments / hashlib.sha256(requirements.encode()).hexdigest()[:16]
    if not environment.exists():
        _make(environment, [line.partition("==")[0] for line in requirements.splitlines()])
    return Unpacked(stage, folder, environment / "bin/python")


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("MASKLINE_", "PYTHON"))}


def _make(environment: Path, names: list[str]) -> None:
    """The very files that pip installed for the tests: a bundle is only made where its versions are these."""
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    for name in names:
        _copy(name, packages)


def _copy(name: str, packages: Path) -> None:
    for file in distribution(name).files or ():
        target = packages / file
        if ".." not in file.parts and (source := Path(str(file.locate()))).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(source, target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _listens(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=30)
    except httpx.TransportError:
        return False
    return True
