"""The drop folder: every file that comes to rest in it becomes an object, once for each state of it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.objects.drop import Waiting, scan, waiting_now
from tests.integration.containers import wait_for
from tests.integration.objectservers import ObjectServer, logged, object_server

LAST = ("~1", "~2")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ObjectServer]:
    with object_server(tmp_path) as running:
        yield running


def imported(server: ObjectServer) -> int:
    return int(server.metric('maskline_objects_stored_total{way="import"}'))


def names(server: ObjectServer) -> list[str]:
    return [info.name for info in server.objects.list("uploads")]


def settled(server: ObjectServer) -> None:
    """Everything that was dropped before has been dealt with: when the second file is seen, the look that took the
    first one is over, and nothing that was there before is due later than the first."""
    for last in LAST:
        (server.drop / last).write_bytes(b"last")
        wait_for(lambda name=last: server.exists(name), "the last file was not imported")  # type: ignore[misc]
        server.objects.delete("uploads", last)


def test_a_file_becomes_an_object_and_stays(server: ObjectServer) -> None:
    (server.drop / "cat.jpg").write_bytes(b"photo")
    (server.drop / "users" / "ann").mkdir(parents=True)
    (server.drop / "users" / "ann" / "dog.png").write_bytes(b"other photo")
    wait_for(lambda: names(server) == ["cat.jpg", "users/ann/dog.png"], "they were not imported")
    assert server.objects.get("uploads", "users/ann/dog.png") == b"other photo"
    assert server.objects.stat("uploads", "cat.jpg").content_type == "image/jpeg"
    assert (server.drop / "cat.jpg").read_bytes() == b"photo"
    assert len(server.objects.catalog.outbox(10)) == 2


def test_a_changed_file_is_a_new_generation_and_a_seen_one_is_not(server: ObjectServer) -> None:
    file = server.drop / "cat.jpg"
    file.write_bytes(b"first")
    wait_for(lambda: server.exists("cat.jpg"), "it was not imported")
    first = server.objects.stat("uploads", "cat.jpg").generation
    settled(server)
    assert server.objects.stat("uploads", "cat.jpg").generation == first
    file.write_bytes(b"second")
    wait_for(lambda: server.objects.stat("uploads", "cat.jpg").generation > first, "the change was not imported")
    assert server.objects.get("uploads", "cat.jpg") == b"second"


def test_an_object_that_was_deleted_does_not_come_back(server: ObjectServer) -> None:
    (server.drop / "cat.jpg").write_bytes(b"photo")
    wait_for(lambda: server.exists("cat.jpg"), "it was not imported")
    server.objects.delete("uploads", "cat.jpg")
    settled(server)
    assert names(server) == []


def test_what_is_not_a_finished_file_is_left_alone(server: ObjectServer, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"secret")
    (server.drop / "link.png").symlink_to(outside / "secret.png")
    (server.drop / "linked").symlink_to(outside)
    (server.drop / "dangling.png").symlink_to(outside / "none")
    os.mkfifo(server.drop / "pipe.png")
    with socket.socket(socket.AF_UNIX) as special:
        special.bind(str(server.drop / "s"))
    for name in (".hidden.png", "a.part", "a.tmp", "a.CRDOWNLOAD", "a.jpg~"):
        (server.drop / name).write_bytes(b"x")
    (server.drop / ".trash").mkdir()
    (server.drop / ".trash" / "a.png").write_bytes(b"x")
    settled(server)
    assert names(server) == []


def test_odd_names_are_imported_or_skipped_but_stop_nothing(server: ObjectServer) -> None:
    good = ["a b.png", "é.png", "日本.png", "-rf", "a\\b", "x" * 255, "%2e%2e", "tab\t.png"]
    bad = [b"\xff\xfe.png", b"new\nline.png", b"return\r.png"]
    for name in good:
        (server.drop / name).write_bytes(b"photo")
    for raw in bad:
        Path(os.fsdecode(os.fsencode(server.drop) + b"/" + raw)).write_bytes(b"photo")
    settled(server)
    assert names(server) == sorted(good)
    told = [line["object"] for line in logged(server.data) if line["action"] == "not_imported"]
    assert sorted(told) == sorted(map(os.fsdecode, bad))


def test_a_name_that_is_too_long_for_an_object_is_skipped(server: ObjectServer) -> None:
    deep = server.drop / "/".join(["d" * 250] * 5)
    deep.mkdir(parents=True)
    (deep / "cat.png").write_bytes(b"photo")
    settled(server)
    assert names(server) == []
    assert [line["action"] for line in logged(server.data)] == ["not_imported"]


def test_an_empty_file_is_an_object(server: ObjectServer) -> None:
    (server.drop / "empty.png").touch()
    wait_for(lambda: server.exists("empty.png"), "it was not imported")


def test_a_file_that_grows_ends_up_whole(server: ObjectServer) -> None:
    with (server.drop / "grows.png").open("wb", buffering=0) as file:
        for _ in range(10):
            file.write(b"x" * 1000)
            time.sleep(0.1)  # as a slow copy does
    wait_for(lambda: server.exists("grows.png"), "it was not imported")
    wait_for(lambda: len(server.objects.get("uploads", "grows.png")) == 10_000, "its end is missing")


def test_hundreds_of_files_at_once(server: ObjectServer) -> None:
    for n in range(400):
        (server.drop / f"{n:04}.jpg").write_bytes(b"%d" % n)
    wait_for(lambda: imported(server) >= 400, "some were not imported")
    assert imported(server) == len(names(server)) == 400


def test_killed_in_the_middle_nothing_is_imported_twice_or_missed(tmp_path: Path) -> None:
    drop = tmp_path / "buckets" / "uploads"
    drop.mkdir(parents=True)
    expected = [f"{n:04}.jpg" for n in range(300)]
    for name in expected:
        (drop / name).write_bytes(name.encode())
    for enough in (1, 80, 160):
        with object_server(tmp_path) as server:
            wait_for(lambda least=enough: len(names(server)) >= least, "nothing was imported")  # type: ignore[misc]
            server.kill()
    with object_server(tmp_path) as server:
        settled(server)
        assert names(server) == expected
        heard = [one.attributes["objectId"] for one in server.objects.catalog.outbox(1000)]
    assert sorted(heard) == [*expected, *LAST]


def test_waiting_starts_again_with_every_change() -> None:
    seen = waiting_now({"a": (1, 10)}, {}, {}, now=100.0)
    assert seen == {"a": Waiting((1, 10), 100.5)}
    assert waiting_now({"a": (1, 10)}, {}, seen, now=100.3) == seen
    assert waiting_now({"a": (1, 11)}, {}, seen, now=100.3) == {"a": Waiting((1, 11), 100.8)}
    assert waiting_now({"a": (1, 10)}, {"a": (1, 10)}, seen, now=100.3) == {}
    assert waiting_now({}, {}, seen, now=100.3) == {}


def test_a_folder_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert scan(tmp_path / "none") == ({}, [])
