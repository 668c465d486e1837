"""F16 and F17: a disk that is really full (a small file system of its own), and files that were damaged."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shared.adapters.local.blobs import SMALL
from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects
from shared.delivery import Refusal, Verdict
from shared.errors import Misconfigured, Retryable
from shared.prediction import State
from tests.domain import PHOTO, World, world

MOUNT = 'mount -t tmpfs -o size=6m none "$0" && exec "$1" -m tests.chaos.full "$0"'


@pytest.fixture
def domain(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def test_f16_a_full_disk_refuses_keeps_what_it_took_and_goes_on(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-Urm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no file system of one's own")
    command = [unshare, "-Urm", "sh", "-c", MOUNT, str(tmp_path), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["objects"] > 10
    assert seen["objectsRead"]
    assert seen["halfStored"] == []
    assert seen["documents"] <= seen["documentsListed"]
    assert seen["resumed"]


@pytest.mark.parametrize("name", ["documents.db", "objects.db"])
def test_f17_a_damaged_database_is_said_and_never_begun_anew(tmp_path: Path, name: str) -> None:
    documents, objects = LocalDocuments(tmp_path / "documents.db"), LocalObjects(tmp_path)
    documents.create("predictions/a", {"n": 1})
    objects.put("uploads", "a", b"photo", "image/png")
    documents.close()
    objects.close()
    path = tmp_path / name
    damaged = b"not a database at all" + path.read_bytes()[21:]
    path.write_bytes(damaged)
    reads: dict[str, Callable[[], object]] = {
        "documents.db": lambda: LocalDocuments(path).get("predictions/a"),
        "objects.db": lambda: LocalObjects(tmp_path).get("uploads", "a"),
    }
    with pytest.raises(Misconfigured, match="damaged"):
        reads[name]()
    assert path.read_bytes() == damaged


def damage_file(data: Path) -> None:
    [blob] = list((data / "objects").glob("??/*"))
    blob.write_bytes(b"X" + blob.read_bytes()[1:])


def damage_row(data: Path) -> None:
    with closing(sqlite3.connect(data / "objects.db")) as connection, connection:
        connection.execute("UPDATE small SET data = CAST(X'58' || substr(data, 2) AS BLOB)")


@pytest.mark.parametrize(("size", "damage"), [(SMALL + 1, damage_file), (SMALL, damage_row)], ids=["file", "row"])
def test_f15_f17_bytes_that_do_not_match_their_checksum_are_never_handed_out(
    domain: World, size: int, damage: Callable[[Path], None]
) -> None:
    """A damaged photo is not decoded: each claim fails in passing, and the last one sets it aside, visibly."""
    prediction = domain.queued(data=PHOTO.ljust(size, b"."))
    damage(domain.settings.data)
    for _ in range(domain.settings.max_claims):
        worker = domain.worker(prediction)
        with pytest.raises(Retryable, match="checksum"):
            domain.objects.get(prediction.bucket, prediction.object, prediction.generation)
        worker.abandon()
    refusal = domain.claim(prediction)
    assert isinstance(refusal, Refusal)
    assert refusal.verdict is Verdict.POISON
    assert domain.get(prediction.id).state is State.FAILED
