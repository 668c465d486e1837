"""The peers' venvs: made when they are missing, each with this project's versions beside the peer's own pinned ones.

pip installs torch from wherever it is configured to look. A venv counts as made once the file that is written last
names what was asked for, so that neither an installation that broke off nor an older list is ever used.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = (ROOT / "constraints.txt", Path(__file__).with_name("peer_constraints.txt"))
OWN_PINS = Path(__file__).with_name("peer_pins")  # complete lists, of peers that cannot live with this project's
EXTRAS = {
    "fastapi": ("fastapi", "uvicorn[standard]"),
    "litserve": ("litserve",),
    "pytriton": ("nvidia-pytriton",),
    "bentoml": ("bentoml",),
    "ray": ("ray[serve]",),
    "mlserver": ("mlserver",),
    "torchserve": ("torchserve", "torch-model-archiver", "pyyaml", "setuptools"),  # it does not ask for the last two
}
PATIENCE = 1800  # s for one installation: torch is large
MADE = "made.txt"


class NotMade(Exception):
    """Says why, in pip's last words."""


def python(folder: Path, package: str) -> Path:
    """The interpreter of the peer's venv below `folder`, made now if need be. Raises `NotMade`."""
    venv = folder / package
    made, wanted = venv / MADE, asked(package)
    if not made.exists() or made.read_text("utf-8") != wanted:
        print(f"{package}: installing into {venv}, which takes minutes", file=sys.stderr)
        made.unlink(missing_ok=True)
        _made(venv, package)
        made.write_text(wanted, "utf-8")
    return venv / "bin/python"


def pins(package: str) -> tuple[Path, ...]:
    own = OWN_PINS / f"{package}.txt"
    return (own,) if own.exists() else PINS


def asked(package: str) -> str:
    """What decides the contents of a venv."""
    return "\n".join([*requirements(package), *(path.read_text("utf-8") for path in pins(package))])


def requirements(package: str) -> list[str]:
    """What our container needs to decode, infer and encode, and the peer."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    ours = [line for line in table["project"]["optional-dependencies"]["container"] if _of_model(line)]
    return [*ours, *EXTRAS[package]]


def _of_model(requirement: str) -> bool:
    return requirement.split("=")[0] in ("torch", "numpy", "pillow", "safetensors")


def version(package: str) -> str:
    """As pinned."""
    start = EXTRAS[package][0].split("[")[0] + "=="
    lines = pins(package)[-1].read_text("utf-8").splitlines()
    return next(line.removeprefix(start) for line in lines if line.startswith(start))


def _made(venv: Path, package: str) -> None:
    venv.parent.mkdir(parents=True, exist_ok=True)
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    limits = [word for path in pins(package) for word in ("-c", str(path))]
    _run([sys.executable, "-m", "venv", "--clear", str(venv)])
    _run([*pip, *limits, *requirements(package)])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise NotMade(f"not installed within {PATIENCE} s") from None
    if done.returncode:
        raise NotMade(done.stderr.strip()[-1000:] or f"pip ended with {done.returncode}")
