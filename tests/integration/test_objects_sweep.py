"""What is left behind goes; what is under way stays; the end comes in time."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.integration.containers import wait_for
from tests.integration.objectservers import logged, object_server

OLD = 3600.0  # s


def orphan(path: Path, age: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left behind")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_what_a_crash_left_is_swept_and_what_is_under_way_is_not(tmp_path: Path) -> None:
    with object_server(tmp_path) as server:
        start = f"{server.url}/upload/storage/v1/b/uploads/o?uploadType=resumable&name=a"
        living, over = (httpx.post(start).headers["x-guploader-uploadid"] for _ in range(2))
        kept = server.objects.put("uploads", "kept", b"photo", "image/png")
        with server.objects.catalog.database.write() as connection:  # as if a day had gone by
            connection.execute("UPDATE sessions SET create_time = 0 WHERE id = ?", (over,))
    folder = tmp_path / "objects"
    part, blob = orphan(folder / "tmp" / ("a" * 32), OLD), orphan(folder / "bb" / ("b" * 32), OLD)
    young = orphan(folder / "tmp" / ("c" * 32), 0)
    for path in folder.glob("*/*"):
        if path != young:
            os.utime(path, (time.time() - OLD, time.time() - OLD))
    with object_server(tmp_path) as server:
        wait_for(lambda: any(line["action"] == "swept" for line in logged(tmp_path)), "nothing was swept")
        assert not part.exists()
        assert not blob.exists()
        assert sorted(server.parts()) == sorted([living, young.name])
        assert server.objects.get("uploads", "kept", kept.generation) == b"photo"
        again = f"{server.url}/upload/storage/v1/b/uploads/o?uploadType=resumable&upload_id={over}"
        assert httpx.put(again, content=b"photo").status_code == 404


def test_an_upload_under_way_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    with object_server(tmp_path) as server:
        request = server.sign("slow", max_bytes=10_000_000)
        parts = urlsplit(request.url)
        lines = [f"PUT {parts.path}?{parts.query} HTTP/1.1", f"host: {parts.netloc}", "content-length: 5000000"]
        lines += [f"{header}: {value}" for header, value in request.headers.items()]
        with socket.create_connection((parts.hostname, parts.port)) as sender:
            sender.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + b"x" * 1_000_000)
            wait_for(server.parts, "the upload never began")
            assert server.stop() == 0
        assert not server.exists("slow")


def test_its_metrics(tmp_path: Path) -> None:
    with object_server(tmp_path) as server:
        request = server.sign("a")
        httpx.put(request.url, content=b"photo", headers=dict(request.headers))
        assert server.metric('maskline_objects_stored_total{way="signed"}') == 1
        assert server.metric('maskline_objects_bytes_total{way="signed"}') == 5
        assert server.metric("maskline_objects_outbox") == 1  # there is no broker
