"""What a running stack leaves in `data/run/`: lock, logs, `stack.json` and `instances.json`, for `ps` and the like."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.errors import Misconfigured

_LOG_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Process:
    """One running process of the stack. `since` is RFC 3339."""

    role: str
    pid: int
    since: str


@contextmanager
def owned(data: Path) -> Iterator[Path]:
    """The run folder of `data`, held by this process alone until it ends. Raises `Misconfigured`."""
    run = data / "run"
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = (run / "lock").open("w")
    except OSError as error:
        raise Misconfigured(f"the data folder cannot be used: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Misconfigured("another stack runs on this data folder: stop it, or choose another --data") from None
        yield run


def write_stack(run: Path, url: str, processes: list[Process], backends: Mapping[str, str]) -> None:
    rows = [asdict(one) for one in processes]
    write_atomically(run / "stack.json", {"url": url, "processes": rows, "backends": dict(backends)})


def write_atomically(path: Path, document: Any) -> None:
    """Readers see the old or the new document, never half of one. Not durable: after a crash it means nothing."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(document), "utf-8")
    draft.replace(path)


def log_file(logs: Path, role: str) -> Path:
    """Where a process that is about to start appends its output; a long one is set aside first."""
    path = logs / f"{role}.log"
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path


def stack_url(data: Path) -> str | None:
    """The public URL of the stack that runs on `data`."""
    stack = _read(data / "run" / "stack.json", {})
    alive = any(row["role"] == "up" and _alive(row["pid"]) for row in stack.get("processes", ()))
    return str(stack["url"]) if alive else None


def backends(data: Path) -> dict[str, str]:
    """The settings by which commands reach what the running stack works with; empty if none runs."""
    return {} if stack_url(data) is None else dict(_read(data / "run" / "stack.json", {}).get("backends", {}))


def processes(data: Path) -> list[Process]:
    """Every living process of the stack, inference instances included; empty if none runs."""
    if stack_url(data) is None:
        return []
    stack = _read(data / "run" / "stack.json", {})
    rows = [Process(row["role"], row["pid"], row["since"]) for row in stack.get("processes", ())]
    instances = _read(data / "run" / "instances.json", [])
    rows += [Process("inference", row["pid"], row["since"]) for row in instances]
    return [row for row in rows if _alive(row.pid)]


def _read(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return default


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a zombie is dead already; elsewhere than on Linux there is no such file
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc/self").exists()
