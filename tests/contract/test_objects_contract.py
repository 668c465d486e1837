"""What every `Objects` adapter promises."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import google_crc32c
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import AlreadyExists, Conflict, Malformed, NotFound
from shared.ports import Objects

PHOTO = bytes(range(256)) * 40


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def test_what_was_put_is_read_back_with_its_checksums(objects: Objects) -> None:
    put = objects.put("uploads", "a/b.jpg", PHOTO, "image/jpeg", metadata={"who": "ann"})
    assert objects.get("uploads", "a/b.jpg") == PHOTO
    found = objects.stat("uploads", "a/b.jpg")
    assert found == put
    assert (found.bucket, found.name, found.size, found.content_type) == (
        "uploads",
        "a/b.jpg",
        len(PHOTO),
        "image/jpeg",
    )
    assert found.crc32c == crc32c(PHOTO)
    assert found.md5 == base64.b64encode(hashlib.md5(PHOTO).digest()).decode()
    assert dict(found.metadata) == {"who": "ann"}
    assert abs(found.create_time - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_empty_object_is_an_object(objects: Objects) -> None:
    put = objects.put("results", "empty", b"", "image/png")
    assert (put.size, objects.get("results", "empty")) == (0, b"")


def test_what_does_not_exist_is_not_found(objects: Objects) -> None:
    for call in (objects.stat, objects.get):
        with pytest.raises(NotFound):
            call("uploads", "none")
        with pytest.raises(NotFound):
            call("uploads", "none", 12345)


def test_an_unknown_bucket_is_not_found(objects: Objects) -> None:
    with pytest.raises(NotFound):
        objects.put("nobody-made-this", "a", b"x", "image/png")
    with pytest.raises(NotFound):
        objects.list("nobody-made-this")


def test_generations_grow_and_a_replaced_one_is_gone(objects: Objects) -> None:
    generations = [objects.put("uploads", "a", bytes([n]), "image/png").generation for n in range(5)]
    assert generations == sorted(set(generations))
    assert objects.get("uploads", "a", generations[-1]) == b"\x04"
    with pytest.raises(NotFound):
        objects.get("uploads", "a", generations[0])
    with pytest.raises(NotFound):
        objects.stat("uploads", "a", generations[0])


def test_a_deleted_generation_never_comes_back(objects: Objects) -> None:
    first = objects.put("uploads", "a", b"1", "image/png").generation
    objects.delete("uploads", "a")
    second = objects.put("uploads", "a", b"2", "image/png").generation
    assert second > first
    with pytest.raises(NotFound):
        objects.get("uploads", "a", first)


def test_put_if_none_exists_refuses_the_second(objects: Objects) -> None:
    objects.put("results", "mask", b"first", "image/png", if_generation_match=0)
    with pytest.raises(Conflict):
        objects.put("results", "mask", b"second", "image/png", if_generation_match=0)
    assert objects.get("results", "mask") == b"first"


def test_put_if_the_generation_is_still_live(objects: Objects) -> None:
    first = objects.put("results", "mask", b"first", "image/png")
    second = objects.put("results", "mask", b"second", "image/png", if_generation_match=first.generation)
    with pytest.raises(Conflict):
        objects.put("results", "mask", b"third", "image/png", if_generation_match=first.generation)
    with pytest.raises(Conflict):
        objects.put("results", "other", b"third", "image/png", if_generation_match=first.generation)
    assert objects.stat("results", "mask") == second


def test_of_sixteen_racing_creators_one_wins_whole(objects: Objects) -> None:
    def attempt(n: int) -> int | None:
        try:
            objects.put("results", "race", bytes([n]) * 5000, "image/png", if_generation_match=0)
        except AlreadyExists:
            return None
        except Conflict:
            return None
        return n

    with ThreadPoolExecutor(16) as pool:
        winners = [n for n in pool.map(attempt, range(16)) if n is not None]
    assert len(winners) == 1
    assert objects.get("results", "race") == bytes([winners[0]]) * 5000


def test_readers_see_whole_generations_while_writers_replace_them(objects: Objects) -> None:
    objects.put("uploads", "hot", b"\0" * 4000, "image/png")

    def write(n: int) -> None:
        objects.put("uploads", "hot", bytes([n]) * 4000, "image/png")

    def read(_: int) -> bool:
        data = objects.get("uploads", "hot")
        return len(data) == 4000 and len(set(data)) == 1

    with ThreadPoolExecutor(6) as pool:
        writes = [pool.submit(write, n) for n in range(20)]
        assert all(pool.map(read, range(40)))
        for done in writes:
            done.result()


def test_spans_are_cut_to_the_object(objects: Objects) -> None:
    objects.put("uploads", "a", PHOTO, "image/png")
    assert objects.get("uploads", "a", span=(0, 16)) == PHOTO[:16]
    assert objects.get("uploads", "a", span=(100, 300)) == PHOTO[100:300]
    assert objects.get("uploads", "a", span=(len(PHOTO) - 5, len(PHOTO) + 100)) == PHOTO[-5:]
    assert objects.get("uploads", "a", span=(len(PHOTO) + 1, len(PHOTO) + 5)) == b""
    assert objects.get("uploads", "a", span=(7, 7)) == b""


def test_deleting_is_fine_twice_and_spares_another_generation(objects: Objects) -> None:
    first = objects.put("uploads", "a", b"1", "image/png")
    second = objects.put("uploads", "a", b"2", "image/png")
    objects.delete("uploads", "a", first.generation)
    assert objects.get("uploads", "a") == b"2"
    objects.delete("uploads", "a", second.generation)
    objects.delete("uploads", "a")
    with pytest.raises(NotFound):
        objects.stat("uploads", "a")


def test_listing_goes_by_name_with_prefix_and_cursor(objects: Objects) -> None:
    for name in ["b/2", "a/1", "b/1", "b", "c", "b/\U0010ffff", "é", "B/1"]:
        objects.put("uploads", name, b"x", "image/png")
    objects.put("results", "b/elsewhere", b"x", "image/png")

    def names(**options: object) -> list[str]:
        return [info.name for info in objects.list("uploads", **options)]  # type: ignore[arg-type]

    assert names() == ["B/1", "a/1", "b", "b/1", "b/2", "b/\U0010ffff", "c", "é"]
    assert names(prefix="b/") == ["b/1", "b/2", "b/\U0010ffff"]
    assert names(prefix="b/", after="b/1") == ["b/2", "b/\U0010ffff"]
    assert names(after="b/2", limit=2) == ["b/\U0010ffff", "c"]
    assert names(prefix="nothing") == []


ODD_NAMES = [
    "../../etc/passwd", "/absolute", "a/../b", "a//b", "trailing/", "..%2f..%2fx", "%2e%2e", "a\\b", "C:\\x", "con",
    "日本語/写真.jpg", "e\u0301.jpg", "\u00e9.jpg", "\u202egpj.exe", "zero\u200bwidth",
    "\U0001f408", "a b\tc", "'; drop table objects;--",
    "__x__", "?query=1", "#fragment", "a&b=c", "~", "-rf", "x" * 1024, "é" * 512,
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_just_names(objects: Objects, name: str) -> None:
    put = objects.put("uploads", name, PHOTO, "image/jpeg")
    assert objects.get("uploads", name, put.generation) == PHOTO
    assert [info.name for info in objects.list("uploads")] == [name]


def test_names_that_look_alike_are_two_objects(objects: Objects) -> None:
    objects.put("uploads", "e\u0301", b"decomposed", "image/png")
    objects.put("uploads", "\u00e9", b"composed", "image/png")
    assert objects.get("uploads", "e\u0301") == b"decomposed"
    assert objects.get("uploads", "\u00e9") == b"composed"


@pytest.mark.parametrize(
    "name", ["", "x" * 1025, "é" * 513, "a\nb", "a\rb", ".", "..", "\ud800", ".well-known/acme-challenge/x"]
)
def test_names_that_cloud_storage_refuses_are_refused(objects: Objects, name: str) -> None:
    with pytest.raises(Malformed):
        objects.put("uploads", name, b"x", "image/png")
    assert objects.list("uploads") == []


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    data=st.binary(max_size=4096), name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=3, max_size=40)
)
def test_any_bytes_under_any_name_survive_the_round_trip(objects: Objects, data: bytes, name: str) -> None:
    put = objects.put("uploads", name, data, "application/octet-stream")
    assert objects.get("uploads", name, put.generation) == data
    assert put.crc32c == crc32c(data)


def test_a_signed_put_says_what_must_be_sent(objects: Objects) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=5)
    request = objects.sign("PUT", "uploads", "users/ann/p1", soon, "image/jpeg", 1000)
    headers = {key.lower(): value for key, value in request.headers.items()}
    assert request.method == "PUT"
    assert headers == {
        "content-type": "image/jpeg",
        "x-goog-content-length-range": "1,1000",
        "x-goog-if-generation-match": "0",
    }


def test_a_signed_post_binds_the_same_and_starts_a_resumable_upload(objects: Objects) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=5)
    whole, resumable = (objects.sign(method, "uploads", "a", soon, "image/jpeg", 1000) for method in ("PUT", "POST"))
    assert resumable.method == "POST"
    assert resumable.headers == {**whole.headers, "x-goog-resumable": "start"}


def test_signatures_differ_by_everything_they_bind(objects: Objects) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=5)
    urls = {
        objects.sign("PUT", "uploads", "a", soon, "image/jpeg", 1000).url,
        objects.sign("PUT", "uploads", "b", soon, "image/jpeg", 1000).url,
        objects.sign("PUT", "results", "a", soon, "image/jpeg", 1000).url,
        objects.sign("PUT", "uploads", "a", soon + timedelta(seconds=60), "image/jpeg", 1000).url,
        objects.sign("PUT", "uploads", "a", soon, "image/png", 1000).url,
        objects.sign("GET", "uploads", "a", soon).url,
        objects.sign("POST", "uploads", "a", soon, "image/jpeg", 1000).url,
    }
    assert len(urls) == 7
