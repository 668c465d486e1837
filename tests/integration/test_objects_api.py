"""The Cloud Storage JSON API, spoken by the official client and by hand, against the real process."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Iterator

import google.cloud.storage as storage
import google_crc32c
import httpx
import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound, NotModified, PreconditionFailed
from google.api_core.exceptions import RequestRangeNotSatisfiable as NoSuchRange
from google.auth.credentials import AnonymousCredentials

from tests.integration.objectservers import ObjectServer, object_server

BIG = os.urandom(9 << 20)  # beyond what the client sends in one piece
KIB_256 = 256 << 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with object_server(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ObjectServer) -> Iterator[storage.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", server.url)
        made = storage.Client(project="maskline-test", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    yield made
    made.close()


@pytest.fixture
def bucket(client: storage.Client, request: pytest.FixtureRequest) -> storage.Bucket:
    """An empty one for each test."""
    return client.create_bucket("b-" + hashlib.md5(request.node.name.encode()).hexdigest()[:20])


def checksums(data: bytes) -> tuple[str, str]:
    crc32c = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
    return crc32c, base64.b64encode(hashlib.md5(data).digest()).decode()


@pytest.mark.parametrize("name", ["cat.jpg", "a/../b é", "a%2Fb", "?x#y", "rewriteTo/b/o/x", "日本/写", "x" * 1024])
def test_upload_read_and_delete(bucket: storage.Bucket, name: str) -> None:
    blob = bucket.blob(name)
    blob.metadata = {"who": "ann"}
    blob.upload_from_string(b"photo", content_type="image/jpeg", checksum="crc32c")
    found = bucket.get_blob(name)
    assert (found.content_type, found.size, found.metadata) == ("image/jpeg", 5, {"who": "ann"})
    assert (found.generation, found.metageneration) == (blob.generation, 1)
    assert (found.crc32c, found.md5_hash) == checksums(b"photo")
    assert found.download_as_bytes(checksum="md5") == b"photo"
    found.delete()
    assert not blob.exists()
    with pytest.raises(NotFound):
        blob.delete()
    with pytest.raises(NotFound):
        blob.download_as_bytes()


def test_ranges(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(bytes(range(100)))
    assert blob.download_as_bytes(start=10, end=19) == bytes(range(10, 20))
    assert blob.download_as_bytes(start=90) == bytes(range(90, 100))
    assert blob.download_as_bytes(start=90, end=1000) == bytes(range(90, 100))
    with pytest.raises(NoSuchRange):
        blob.download_as_bytes(start=100)


def test_an_empty_object(bucket: storage.Bucket) -> None:
    blob = bucket.blob("empty")
    blob.upload_from_string(b"")
    assert (blob.size, blob.download_as_bytes()) == (0, b"")


@pytest.mark.parametrize("size_is_known", [True, False])
@pytest.mark.parametrize("checksum", ["md5", "crc32c"])
def test_resumable_upload(bucket: storage.Bucket, size_is_known: bool, checksum: str) -> None:
    blob = bucket.blob("big", chunk_size=4 * KIB_256)
    size = len(BIG) if size_is_known else None
    blob.upload_from_file(io.BytesIO(BIG), size=size, content_type="image/png", checksum=checksum)
    assert (blob.size, blob.content_type, blob.crc32c, blob.md5_hash) == (len(BIG), "image/png", *checksums(BIG))
    assert blob.download_as_bytes() == BIG


def test_the_clients_own_resumable_upload_of_a_large_file(bucket: storage.Bucket) -> None:
    blob = bucket.blob("big")
    blob.upload_from_file(io.BytesIO(BIG), size=len(BIG))
    assert blob.download_as_bytes() == BIG


def test_preconditions_of_writes(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(b"1", if_generation_match=0)
    first = blob.generation
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").upload_from_string(b"2", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("a", chunk_size=KIB_256).upload_from_file(io.BytesIO(b"2"), if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string(b"2", if_generation_match=first + 1)
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string(b"2", if_metageneration_match=2)
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string(b"2", if_generation_not_match=first)
    blob.upload_from_string(b"2", if_generation_match=first, if_metageneration_match=1)
    with pytest.raises(PreconditionFailed):
        bucket.delete_blob("a", if_generation_match=first)
    assert bucket.blob("a").download_as_bytes() == b"2"
    bucket.delete_blob("a", if_generation_match=blob.generation)


def test_preconditions_of_reads(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(b"1")
    live = blob.generation
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").download_as_bytes(if_generation_match=live + 1)
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").reload(if_metageneration_match=7)
    with pytest.raises(NotModified):
        bucket.blob("a").reload(if_generation_not_match=live)
    with pytest.raises(BadRequest):
        bucket.blob("a").reload(if_metageneration_not_match=7)


def test_a_generation_that_was_replaced_is_gone(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(b"1")
    first = blob.generation
    blob.upload_from_string(b"2")
    assert blob.generation > first
    assert bucket.blob("a", generation=blob.generation).download_as_bytes() == b"2"
    for call in ("download_as_bytes", "reload", "delete"):
        with pytest.raises(NotFound):
            getattr(bucket.blob("a", generation=first), call)()


def test_metadata_changes_without_the_bytes(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.metadata = {"kept": "1", "gone": "1"}
    blob.upload_from_string(b"1", content_type="image/png")
    generation = blob.generation
    blob.metadata = {"gone": None, "new": "1"}
    blob.content_type = "image/webp"
    blob.patch(if_metageneration_match=1)
    blob.reload()
    assert (blob.metadata, blob.content_type) == ({"kept": "1", "new": "1"}, "image/webp")
    assert (blob.generation, blob.metageneration) == (generation, 2)
    blob.content_type = "image/png"
    with pytest.raises(PreconditionFailed):
        blob.patch(if_metageneration_match=1)


def test_listing_with_prefix_delimiter_and_pages(client: storage.Client, bucket: storage.Bucket) -> None:
    names = ["a", "b/1", "b/2", "b/c/1", "b/c/2", "d/1", "e", "é/1"]
    for name in reversed(names):
        bucket.blob(name).upload_from_string(b"x")

    def listed(**options: object) -> tuple[list[str], list[str]]:
        found = client.list_blobs(bucket, **options)
        return [blob.name for blob in found], sorted(found.prefixes)

    assert listed() == (names, [])
    assert listed(page_size=3) == (names, [])
    assert listed(max_results=2) == (names[:2], [])
    assert listed(prefix="b/") == (names[1:5], [])
    for size in (1, 2, 100):
        assert listed(delimiter="/", page_size=size) == (["a", "e"], ["b/", "d/", "é/"])
        assert listed(prefix="b/", delimiter="/", page_size=size) == (["b/1", "b/2"], ["b/c/"])
    assert listed(start_offset="b/2", end_offset="e") == (names[2:6], [])
    assert listed(prefix="nothing") == ([], [])


def test_buckets(client: storage.Client, bucket: storage.Bucket) -> None:
    assert {"uploads", "results", bucket.name} <= {one.name for one in client.list_buckets()}
    assert client.get_bucket(bucket.name).exists()
    assert client.lookup_bucket("nobody-made-this") is None
    with pytest.raises(Conflict):
        client.create_bucket(bucket.name)
    with pytest.raises(BadRequest):
        client._connection.api_request(method="POST", path="/b", data={"name": "UPPER"})
    with pytest.raises(NotFound):
        client.bucket("nobody-made-this").blob("a").upload_from_string(b"x")


def test_copies_and_rewrites(client: storage.Client, bucket: storage.Bucket) -> None:
    source = bucket.blob("from/a")
    source.metadata = {"who": "ann"}
    source.upload_from_string(b"photo", content_type="image/jpeg")
    results = client.bucket("results")
    copy = bucket.copy_blob(source, results, "to/a b", if_generation_match=0)
    assert (copy.content_type, copy.metadata, copy.crc32c) == ("image/jpeg", {"who": "ann"}, source.crc32c)
    assert copy.download_as_bytes() == b"photo"
    with pytest.raises(PreconditionFailed):
        bucket.copy_blob(source, results, "to/a b", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.copy_blob(source, results, "to/c", if_source_generation_match=1)
    assert results.blob("to/c").rewrite(source) == (None, 5, 5)
    assert results.blob("to/c").download_as_bytes() == b"photo"


def test_wrong_checksums_are_refused(server: ObjectServer, bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.md5_hash = checksums(b"other")[1]
    with pytest.raises(BadRequest):
        blob.upload_from_string(b"photo")
    url = f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=a"
    answer = httpx.post(url, content=b"photo", headers={"x-goog-hash": f"crc32c={checksums(b'other')[0]}"})
    assert answer.status_code == 400
    assert not bucket.blob("a").exists()


def test_media_upload(server: ObjectServer, bucket: storage.Bucket) -> None:
    url = f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=a%2Fb"
    answer = httpx.post(url, content=b"photo", headers={"content-type": "image/webp"})
    assert (answer.json()["name"], answer.json()["contentType"], answer.json()["size"]) == ("a/b", "image/webp", "5")


@pytest.mark.parametrize("cut", [1, 7, 100, 100_000])
def test_multipart_bodies_may_arrive_in_any_pieces(server: ObjectServer, bucket: storage.Bucket, cut: int) -> None:
    data = b"\r\n--bound\r\n--boundar\r" * 10  # nearly the delimiter
    body = b'--boundary\r\nContent-Type: application/json\r\n\r\n{"name": "a"}\r\n'
    body += b"--boundary\r\ncontent-type: image/png\r\n\r\n" + data + b"\r\n--boundary--\r\n"
    pieces = (body[i : i + cut] for i in range(0, len(body), cut))
    url = f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart"
    answer = httpx.post(url, content=pieces, headers={"content-type": 'multipart/related; boundary="boundary"'})
    assert answer.json()["contentType"] == "image/png"
    assert bucket.blob("a").download_as_bytes() == data


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--boundary\r\n\r\n{}\r\n",
        b"--boundary\r\n\r\nnot json\r\n--boundary\r\n\r\nx\r\n--boundary--",
        b"--boundary\r\n\r\n[]\r\n--boundary\r\n\r\nx\r\n--boundary--",
        b'--boundary\r\n\r\n{"name": "a"}\r\n--boundary\r\n\r\nno end',
        b"--boundary\r\n\r\n" + b" " * 100_000 + b"\r\n--boundary\r\n\r\nx\r\n--boundary--",
        b'--boundary\r\n\r\n{"name": "a", "metadata": {"k": 1}}\r\n--boundary\r\n\r\nx\r\n--boundary--',
        b'--boundary\r\n\r\n{"name": "a", "metadata": "k"}\r\n--boundary\r\n\r\nx\r\n--boundary--',
        b"--boundary\r\n\r\n{}\r\n--boundary\r\n\r\nx\r\n--boundary--",
    ],
)
def test_broken_multipart_bodies_are_refused(server: ObjectServer, bucket: storage.Bucket, body: bytes) -> None:
    before = server.parts()
    url = f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart"
    answer = httpx.post(url, content=body, headers={"content-type": "multipart/related; boundary=boundary"})
    assert answer.status_code == 400
    assert server.parts() == before
    assert server.objects.list(bucket.name) == []


@pytest.mark.parametrize(
    "target",
    [
        "/storage/v1/b/uploads/o?maxResults=x",
        "/storage/v1/b/uploads/o?pageToken=é",
        "/storage/v1/b/uploads/o/a?generation=-1",
        "/storage/v1/b/uploads/o/a?ifGenerationMatch=99999999999999999999",
        "/storage/v1/b/uploads/o/%0A",
    ],
)
def test_queries_that_make_no_sense_are_refused(server: ObjectServer, target: str) -> None:
    assert httpx.get(server.url + target).status_code == 400


class TestSessions:
    """The resumable protocol by hand: what the client does only when something goes wrong."""

    def start(self, server: ObjectServer, bucket: storage.Bucket, query: str = "") -> str:
        url = f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=a{query}"
        return httpx.post(url, headers={"x-upload-content-type": "image/png"}).headers["location"]

    def send(self, url: str, data: bytes, content_range: str) -> httpx.Response:
        return httpx.put(url, content=data, headers={"content-range": content_range})

    def test_pieces_status_and_end(self, server: ObjectServer, bucket: storage.Bucket) -> None:
        url = self.start(server, bucket)
        asked = self.send(url, b"", "bytes */*")
        assert (asked.status_code, "range" in asked.headers) == (308, False)
        sent = self.send(url, b"0123", "bytes 0-3/*")
        assert (sent.status_code, sent.headers["range"]) == (308, "bytes=0-3")
        assert self.send(url, b"", "bytes */10").headers["range"] == "bytes=0-3"
        assert not bucket.blob("a").exists()
        ended = self.send(url, b"456789", "bytes 4-9/10")
        assert (ended.status_code, ended.json()["size"], ended.json()["contentType"]) == (200, "10", "image/png")
        again = self.send(url, b"", "bytes */10")
        assert (again.status_code, again.json()) == (200, ended.json())
        assert bucket.blob("a").download_as_bytes() == b"0123456789"

    def test_bytes_that_are_there_already_are_skipped(self, server: ObjectServer, bucket: storage.Bucket) -> None:
        url = self.start(server, bucket)
        self.send(url, b"0123", "bytes 0-3/*")
        assert self.send(url, b"2345", "bytes 2-5/*").headers["range"] == "bytes=0-5"
        assert self.send(url, b"01", "bytes 0-1/*").headers["range"] == "bytes=0-5"
        assert self.send(url, b"89", "bytes 8-9/10").headers["range"] == "bytes=0-5"  # a gap
        assert self.send(url, b"0123456789", "bytes 0-9/10").status_code == 200
        assert bucket.blob("a").download_as_bytes() == b"0123456789"

    def test_a_body_without_a_range_is_all(self, server: ObjectServer, bucket: storage.Bucket) -> None:
        assert httpx.put(self.start(server, bucket), content=b"photo").status_code == 200
        assert bucket.blob("a").download_as_bytes() == b"photo"

    @pytest.mark.parametrize("header", ["bytes 5-2/10", "bytes 0-9/5", "bytes 0-/5", "lines 0-1/2", "bytes 0-1/5"])
    def test_ranges_that_make_no_sense(self, server: ObjectServer, bucket: storage.Bucket, header: str) -> None:
        assert self.send(self.start(server, bucket), b"0123456789", header).status_code == 400

    def test_the_precondition_holds_at_the_end(self, server: ObjectServer, bucket: storage.Bucket) -> None:
        url = self.start(server, bucket, "&ifGenerationMatch=0")
        bucket.blob("a").upload_from_string(b"somebody was faster")
        assert self.send(url, b"photo", "bytes 0-4/5").status_code == 412
        assert self.send(url, b"", "bytes */5").status_code == 404
        assert bucket.blob("a").download_as_bytes() == b"somebody was faster"

    def test_wrong_checksum_at_the_end(self, server: ObjectServer, bucket: storage.Bucket) -> None:
        url = self.start(server, bucket)
        wrong = {"content-range": "bytes 0-4/5", "x-goog-hash": f"md5={checksums(b'other')[1]}"}
        assert httpx.put(url, content=b"photo", headers=wrong).status_code == 400
        assert not bucket.blob("a").exists()

    def test_cancelled_and_unknown_sessions(self, server: ObjectServer, bucket: storage.Bucket) -> None:
        url = self.start(server, bucket)
        self.send(url, b"0123", "bytes 0-3/*")
        assert httpx.delete(url).status_code == 499
        for gone in (url, url.replace("upload_id=", "upload_id=..%2F..%2F")):
            assert self.send(gone, b"0123", "bytes 0-3/*").status_code == 404
        assert url.rpartition("upload_id=")[2] not in server.parts()

    def test_a_session_outlives_the_server(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        data = tmp_path_factory.mktemp("data")
        with object_server(data) as server:
            start = f"{server.url}/upload/storage/v1/b/uploads/o?uploadType=resumable&name=a"
            location = httpx.post(start).headers["location"].removeprefix(server.url)
            self.send(server.url + location, b"0123", "bytes 0-3/10")
            server.kill()
        with object_server(data) as server:
            asked = self.send(server.url + location, b"", "bytes */10")
            assert (asked.status_code, asked.headers["range"]) == (308, "bytes=0-3")
            assert self.send(server.url + location, b"456789", "bytes 4-9/10").status_code == 200
            assert server.objects.get("uploads", "a") == b"0123456789"
