"""The drop folder, `data/buckets/{bucket}/`: a file that somebody puts there becomes an object, once for each state in
which it is left alone. The file itself stays where it is.

Polled, because a file's end is not an event: it is complete when it has stopped changing.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from local.objects.service import Service
from shared.adapters.local.blobs import CHUNK
from shared.adapters.local.entries import ANY, Description, DroppedFile, Entry, check_name
from shared.adapters.local.objects import LocalObjects
from shared.api.threads import in_thread
from shared.errors import Malformed, Retryable
from shared.logs import Log

_POLL = 0.25  # s between two looks
_SHARE = 20  # a look is followed by a rest of so many times its length: at most 5 % of one core
_QUIET = 0.5  # s without change after which a file counts as complete
_RETRY = 5.0  # s until a file that could not be read is tried again
_AT_ONCE = 4  # files
_PARTIAL = (".part", ".partial", ".tmp", ".crdownload", ".download", "~")  # what programs call unfinished files

State = tuple[int, int]  # mtime in ns, size in bytes
Found = dict[str, State]  # by path below the folder, which is the object's name


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file in a state that is not imported; `due`: monotonic s, unless it changes before."""

    state: State
    due: float


class DropFolder:
    def __init__(self, service: Service, bucket: str, folder: Path, log: Log) -> None:
        self._service = service
        self._bucket = bucket
        self._folder = folder
        self._log = log
        self._imported: Found = {}
        self._waiting: dict[str, Waiting] = {}
        self._told: set[str] = set()  # what the log has heard of

    async def run(self) -> None:
        self._imported = await in_thread(self._service.objects.catalog.imports, self._bucket)
        while True:
            began = time.monotonic()
            found, unreadable = await in_thread(scan, self._folder)
            cost = time.monotonic() - began
            self._waiting = waiting_now(found, self._imported, self._waiting, began)
            self._forget_told(unreadable)
            for path in unreadable:
                self._tell(path, "the folder cannot be read")
            ready = sorted(path for path, one in self._waiting.items() if one.due <= began)
            for first in range(0, len(ready), _AT_ONCE):
                await asyncio.gather(*map(self._import, ready[first : first + _AT_ONCE]))
            await asyncio.sleep(max(_POLL, _SHARE * cost))

    async def _import(self, path: str) -> None:
        state = self._waiting[path].state
        try:
            entry = await in_thread(import_file, self._service.objects, self._folder, self._bucket, path, state)
        except FileNotFoundError:
            return
        except Malformed as error:
            self._postpone(path, inf, str(error))
        except Retryable as error:
            self._postpone(path, _RETRY, str(error))
        except OSError as error:
            self._postpone(path, _RETRY, error.strerror or "it cannot be read")
        else:
            self._settled(path, state, entry)

    def _settled(self, path: str, state: State, entry: Entry | None) -> None:
        del self._waiting[path]
        if entry is not None:
            self._imported[path] = state
            self._service.stored("import", entry)

    def _postpone(self, path: str, seconds: float, why: str) -> None:
        self._waiting[path] = Waiting(self._waiting[path].state, time.monotonic() + seconds)
        self._tell(path, why)

    def _tell(self, path: str, why: str) -> None:
        if path not in self._told:
            self._told.add(path)
            self._log.warning("not_imported", bucket=self._bucket, object=path, message=why)

    def _forget_told(self, unreadable: Sequence[str]) -> None:
        self._told &= self._waiting.keys() | set(unreadable)


def waiting_now(found: Found, imported: Found, before: Mapping[str, Waiting], now: float) -> dict[str, Waiting]:
    """The files that are not imported as they are, each with the time when it may be."""
    changed = {path: state for path, state in found.items() if imported.get(path) != state}
    fresh = {path: Waiting(state, now + _QUIET) for path, state in changed.items()}
    kept = {path: one for path, one in before.items() if changed.get(path) == one.state}
    return fresh | kept


def scan(root: Path) -> tuple[Found, list[str]]:
    """Every regular file, and the folders that cannot be read. Follows no link."""
    found: Found = {}
    unreadable: list[str] = []
    folders = [""]
    while folders:
        prefix = folders.pop()
        try:
            with os.scandir(os.path.join(root, prefix)) as entries:
                for entry in entries:
                    _look(entry, prefix, found, folders)
        except FileNotFoundError:
            continue  # removed meanwhile
        except OSError:
            unreadable.append(prefix)
    return found, unreadable


def _look(entry: os.DirEntry[str], prefix: str, found: Found, folders: list[str]) -> None:
    if entry.name.startswith("."):
        return
    if entry.is_dir(follow_symlinks=False):
        folders.append(f"{prefix}{entry.name}/")
    elif entry.is_file(follow_symlinks=False) and not entry.name.lower().endswith(_PARTIAL):
        try:
            found[prefix + entry.name] = _state(entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            pass


def import_file(objects: LocalObjects, folder: Path, bucket: str, name: str, state: State) -> Entry | None:
    """None: it has changed, or is no file any more. Raises `OSError` if it cannot be read."""
    check_name(name)
    fd = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        with objects.blobs.writer() as writer:
            while writer.size <= state[1] and (data := os.read(fd, CHUNK)):
                writer.write(data)
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or _state(status) != state or writer.size != state[1]:
                return None
            blob = writer.finish()
    finally:
        os.close(fd)
    kind = mimetypes.guess_type(name, strict=False)[0] or ""
    return objects.commit(blob, Description(bucket, name, kind), ANY, DroppedFile(name, *state))


def _state(status: os.stat_result) -> State:
    return status.st_mtime_ns, status.st_size
