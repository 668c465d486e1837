"""The inference container's image, read: what goes in, as whom it runs, and that its commands start from just that."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared import pipeline
from tests.integration.containers import Container, free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "inference_container/Dockerfile"


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", FILE.read_text("utf-8"), flags=re.M)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


def told(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def copied() -> dict[str, str]:
    """Source → target, both from the root of what is built and run."""
    pairs: dict[str, str] = {}
    for rest in told("COPY"):
        *sources, target = rest.split()
        pairs |= {s: f"{target}{s}" if target.endswith("/") else target for s in sources}
    return pairs


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What COPY leaves in the image's folder."""
    folder = tmp_path_factory.mktemp("app")
    for source, target in copied().items():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, folder / target)
    return folder


def test_what_is_copied_exists_and_reaches_the_build() -> None:
    ignore = FILE.with_name("Dockerfile.dockerignore").read_text("utf-8").split()
    assert ignore[0] == "*"
    for source in copied():
        assert (ROOT / source).exists()
        assert f"!{source}" in ignore
    assert set(ignore) == {"*", "**/__pycache__", *(f"!{source}" for source in copied())}


def test_it_starts_from_a_pinned_python_and_ends_as_nobody() -> None:
    assert told("FROM") == ["python:3.11-slim"]
    (user,) = told("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    order = [word for word, _ in instructions()]
    assert order.index("USER") > max(index for index, word in enumerate(order) if word in ("COPY", "RUN"))


def test_the_kind_of_torch_is_a_build_argument_and_every_version_is_pinned() -> None:
    assert told("ARG") == ["TORCH_INDEX=https://download.pytorch.org/whl/cpu"]
    (install,) = [rest for rest in told("RUN") if "pip install" in rest]
    assert '--extra-index-url "$TORCH_INDEX"' in install
    assert "-c constraints.txt" in install


def test_it_holds_no_secret() -> None:
    assert not re.search(r"(?i)secret|password|token|api.?key|credential", FILE.read_text("utf-8"))


def test_its_command_serves_from_what_was_copied(image: Path, tmp_path: Path) -> None:
    (command,) = told("CMD")
    python, *arguments = json.loads(command)
    assert python == "python"
    port = free_port()
    arguments[arguments.index("--port") + 1] = str(port)
    arguments[arguments.index("--host") + 1] = "127.0.0.1"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MASKLINE_")}
    settings = {"MASKLINE_DATA": str(tmp_path), "PYTHONPATH": str(image), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=image, env=kept | settings, stdout=subprocess.DEVNULL, text=True
    )
    running = Container(process, f"http://127.0.0.1:{port}")
    try:
        wait_for(lambda: running.answers("/readyz"), "the model never got ready", 150)
        assert running.stop() == 0  # Python is what gets the signal
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("job", pipeline.load().jobs)
def test_the_jobs_commands_are_in_the_image(image: Path, job: str) -> None:
    python, dash_m, module = pipeline.load().jobs[job].command
    assert (python, dash_m) == ("python", "-m")
    path = image / module.replace(".", "/")
    assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()
