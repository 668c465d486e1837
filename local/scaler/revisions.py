"""What instances run: one revision per arm of a rollout. Pure."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass

from shared.errors import Misconfigured
from shared.prediction import STABLE

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Revision:
    """`model` is a bundle folder; empty: the one that the settings name."""

    name: str
    arm: str
    model: str = ""


DEFAULT = Revision("default", STABLE)


def parse(text: str) -> list[Revision]:
    """The default revision and those in a JSON list of `{name, arm, model}`. Raises `Misconfigured`."""
    try:
        others = [Revision(**row) for row in json.loads(text)]
    except (ValueError, TypeError):
        raise Misconfigured("--revisions is not a JSON list of {name, arm, model}") from None
    names = [DEFAULT.name, *(one.name for one in others)]
    if len(set(names)) < len(names) or not all(_NAME.fullmatch(name) for name in names):
        raise Misconfigured("--revisions needs names that differ, of small letters, digits and dashes")
    return [DEFAULT, *others]


def container(revision: Revision, port: int) -> list[str]:
    """The command of one instance."""
    command = [sys.executable, "-m", "inference_container", "--queue", "--port", str(port), "--arm", revision.arm]
    return [*command, "--model", revision.model] if revision.model else command
