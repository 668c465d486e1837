"""Small objects lie in the catalog, large ones in files; nobody can tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.adapters.local.blobs import SMALL
from shared.adapters.local.objects import LocalObjects
from shared.errors import AlreadyExists, NotFound

SIZES = (0, 1, SMALL, SMALL + 1)


def files(root: Path) -> int:
    return sum(path.is_file() for path in (root / "objects").glob("*/*"))


def rows(objects: LocalObjects) -> int:
    with objects.catalog.database.read() as connection:
        return int(connection.execute("SELECT count(*) FROM small").fetchone()[0])


@pytest.mark.parametrize("size", SIZES)
def test_bytes_come_back_whole_in_part_and_as_a_file(tmp_path: Path, size: int) -> None:
    objects, data = LocalObjects(tmp_path), os.urandom(size)
    info = objects.put("results", "a", data, "image/png", if_generation_match=0)
    assert info.size == size
    assert objects.get("results", "a", info.generation) == data
    assert objects.get("results", "a", None, (1, size + 5)) == data[1:]
    entry, fd = objects.open("results", "a")
    objects.delete("results", "a")
    assert os.pread(fd, size + 1, 0) == data  # readable although it is deleted
    os.close(fd)
    assert entry.info == info
    with pytest.raises(NotFound):
        objects.get("results", "a")
    assert (files(tmp_path), rows(objects)) == (0, 0)
    objects.close()


@pytest.mark.parametrize(("old", "new"), [(old, new) for old in SIZES[1:] for new in SIZES[1:]])
def test_what_is_replaced_leaves_nothing(tmp_path: Path, old: int, new: int) -> None:
    objects = LocalObjects(tmp_path)
    objects.put("results", "a", bytes(old), "image/png")
    objects.put("results", "a", b"1" * new, "image/png")
    with pytest.raises(AlreadyExists):
        objects.put("results", "a", b"2" * new, "image/png", if_generation_match=0)
    assert objects.get("results", "a") == b"1" * new
    assert files(tmp_path) + rows(objects) == 1
    objects.close()


def test_those_put_together_are_there_together(tmp_path: Path) -> None:
    objects, other = LocalObjects(tmp_path), LocalObjects(tmp_path)
    objects.put("results", "first", b"1", "image/png")
    with objects.together():
        objects.put("results", "a", b"a", "image/png")
        with pytest.raises(AlreadyExists):
            objects.put("results", "first", b"2", "image/png", if_generation_match=0)
        assert objects.get("results", "a") == b"a"
        with pytest.raises(NotFound):
            other.stat("results", "a")
    assert other.get("results", "a") == b"a"
    assert other.get("results", "first") == b"1"
    objects.close()
    other.close()
