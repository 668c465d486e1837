"""Object bytes as files: written aside, made durable, then named by a random key that no object name can influence.
Small ones that are whole in memory need no file: the catalog keeps them beside their row.

Knows no buckets and no names; which blobs are alive is the catalog's business.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import google_crc32c

from shared.errors import Misconfigured, Retryable, StorageFull

CHUNK = 256 << 10  # bytes read or hashed at a time
SMALL = 64 << 10  # bytes; below about 100 kB SQLite is faster than a file of its own, and spares three syncs
_BESIDE = "="  # begins the keys of small blobs
_ORPHAN_SECONDS = 60.0  # younger files may belong to a writer that has not committed yet
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True, slots=True)
class Blob:
    """Durable bytes, or `small` ones that become durable with their row. The checksums are base64 of big-endian
    bytes."""

    key: str
    size: int
    crc32c: str
    md5: str
    small: bytes | None = None

    @classmethod
    def of(cls, data: bytes) -> Blob:
        checksums = Checksums()
        checksums.update(data)
        return cls(_BESIDE + secrets.token_hex(16), len(data), checksums.crc32c(), checksums.md5(), data)


def is_small(key: str) -> bool:
    """Whether the catalog keeps the bytes; there is no file then."""
    return key.startswith(_BESIDE)


class BlobStore:
    """`folder/tmp/*`: being written. `folder/ab/ab…`: whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tmp = folder / "tmp"

    def writer(self) -> BlobWriter:
        return BlobWriter(self, self.part_path(secrets.token_hex(16)))

    def part_path(self, key: str) -> Path:
        with storage_errors():
            self._tmp.mkdir(parents=True, exist_ok=True)
        return self._tmp / key

    def open(self, key: str) -> int:
        """A file descriptor. Raises FileNotFoundError if the blob is gone."""
        return os.open(self._path(key), os.O_RDONLY)

    def publish(self, part: Path, size: int, checksums: Checksums) -> Blob:
        """Turn a part whose bytes are synced into a blob: after this returns it survives a power cut."""
        path = self._path(part.name)
        with storage_errors():
            try:
                os.rename(part, path)
            except FileNotFoundError:
                path.parent.mkdir(exist_ok=True)
                sync_folder(self._folder)
                os.rename(part, path)
            sync_folder(path.parent)
        return Blob(part.name, size, checksums.crc32c(), checksums.md5())

    def remove(self, key: str) -> None:
        if not is_small(key):
            self._path(key).unlink(missing_ok=True)

    def sweep(self, alive: set[str]) -> int:
        """Delete what no row speaks of, a minute after it was last written. Returns how many files went."""
        oldest = time.time() - _ORPHAN_SECONDS
        orphans = [
            path
            for path in self._folder.glob("*/*")
            if path.name not in alive and (found := _stat(path)) is not None and found.st_mtime < oldest
        ]
        for path in orphans:
            path.unlink(missing_ok=True)
        return len(orphans)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key


class Checksums:
    """crc32c and MD5 of bytes as they pass by."""

    def __init__(self) -> None:
        self._crc = 0
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes) -> None:
        self._crc = google_crc32c.extend(self._crc, data)
        self._md5.update(data)

    def crc32c(self) -> str:
        return base64.b64encode(self._crc.to_bytes(4, "big")).decode()

    def md5(self) -> str:
        return base64.b64encode(self._md5.digest()).decode()


class BlobWriter:
    """A blob in the making. Leaving the `with` block without `finish` leaves nothing behind."""

    def __init__(self, store: BlobStore, part: Path) -> None:
        self._store = store
        self._part = part
        self._checksums = Checksums()
        self.size = 0
        with storage_errors():
            self._fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, data: bytes) -> None:
        with storage_errors():
            write_all(self._fd, data)
        self._checksums.update(data)
        self.size += len(data)

    def finish(self) -> Blob:
        with storage_errors():
            os.fsync(self._fd)
            self._close()
        return self._store.publish(self._part, self.size, self._checksums)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._fd >= 0:
            self._close()
        self._part.unlink(missing_ok=True)  # renamed away by then, if it was finished

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def in_memory(data: bytes) -> int:
    """A file descriptor on bytes that have no file."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return os.dup(file.fileno())


def read_range(fd: int, start: int, stop: int) -> bytes:
    """[start, stop), less at the end of the file."""
    parts = []
    while start < stop and (data := os.pread(fd, stop - start, start)):
        parts.append(data)
        start += len(data)
    return b"".join(parts)


def checksums_of(fd: int) -> tuple[int, Checksums]:
    """Size and checksums of a whole file, read in chunks."""
    checksums, offset = Checksums(), 0
    while data := os.pread(fd, CHUNK, offset):
        checksums.update(data)
        offset += len(data)
    return offset, checksums


def crc32c_of(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def sync_folder(folder: Path) -> None:
    """Names are on disk only when their folder is."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def storage_errors() -> Iterator[None]:
    """What the file system says, in our words."""
    try:
        yield
    except FileNotFoundError:
        raise  # callers know what it means
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("the disk is full") from None
        if error.errno in _FORBIDDEN:
            raise Misconfigured("the data folder cannot be written: check its permissions") from None
        raise Retryable("the object store could not read or write just now") from None


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
