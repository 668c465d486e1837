"""Everything that a function installs, each with its one version: what its folder asks for, and what that brings along.

Which brings what is read from the metadata of the packages installed here, for the platform that functions run on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from shared.errors import Misconfigured

PYTHON = "3.11"  # runtime `python311` of terraform/modules/function
_TARGET = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
}
_NONE = ""  # the extra that is always there


def pins(constraints: str) -> dict[str, str]:
    """Canonical name → `name==version` of each line of `constraints.txt`."""
    lines = re.findall(r"^([\w.-]+)==(\S+)$", constraints, re.M)
    return {canonicalize_name(name): f"{name}=={version}" for name, version in lines}


def closure(requirements: Iterable[str], pinned: Mapping[str, str]) -> list[str]:
    """Sorted lines `name==version`. Raises `Misconfigured` for what is not pinned, or not installed as pinned."""
    lines: dict[str, str] = {}
    done: set[tuple[str, str]] = set()
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        found = _installed(name, wanted, pinned)
        lines[name] = pinned[name]
        for extra in {_NONE, *wanted.extras}:
            if (name, extra) not in done:
                done.add((name, extra))
                waiting.extend(_brought(found, extra))
    return [lines[name] for name in sorted(lines)]


def _installed(name: str, wanted: Requirement, pinned: Mapping[str, str]) -> Distribution:
    if name not in pinned:
        raise Misconfigured(f"constraints.txt has no version of {name}: `make pin` writes it")
    version = pinned[name].partition("==")[2]
    if not wanted.specifier.contains(version, prereleases=True):
        raise Misconfigured(f"{wanted} is asked for, but constraints.txt has {pinned[name]}")
    try:
        found = distribution(name)
    except PackageNotFoundError:
        raise Misconfigured(f"{name} is not installed: `make bundle` installs it") from None
    if found.version != version:
        raise Misconfigured(f"{name} {found.version} is installed here, but constraints.txt has {pinned[name]}")
    return found


def _brought(found: Distribution, extra: str) -> Iterator[Requirement]:
    """What it needs by itself, or for one of its extras."""
    for line in found.requires or ():
        needed = Requirement(line)
        if needed.marker is None:
            if extra == _NONE:
                yield needed
        elif needed.marker.evaluate(_TARGET | {"extra": extra}):
            yield needed
