"""Golden photos against a real container of this checkout, and against stand-ins that are wrong in one way each."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image, ImageOps

from deploy import golden
from local import samples
from tests.integration.containers import free_port, started, wait_for

TWO = {"cat.jpg", "portrait.webp"}
Wrong = Callable[[bytes, httpx.Response], tuple[bytes, str]]  # photo, right answer → mask, model


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    with started() as running:
        wait_for(lambda: running.answers("/readyz"), "the model never got ready", 150)
        yield running.url


@pytest.fixture(scope="module")
def two_photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [photo for photo in samples.prepare(tmp_path_factory.mktemp("photos")) if photo.name in TWO]


@pytest.fixture
def reference(container: str, two_photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """The container again, and fewer photos: not every test need start one and see them all."""

    @contextmanager
    def already_there(model: str) -> Iterator[str]:
        yield container

    monkeypatch.setattr(golden, "here", already_there)
    monkeypatch.setattr(samples, "prepare", lambda folder: two_photos)
    return container


@contextmanager
def stand_in(container: str, wrong: Wrong, token: str = "") -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, b"", "")

        def do_POST(self) -> None:
            if token and self.headers["authorization"] != f"Bearer {token}":
                self.answer(401, b"", "")
                return
            photo = self.rfile.read(int(self.headers["content-length"]))
            self.answer(200, *wrong(photo, httpx.post(f"{container}/v1/segment", content=photo, timeout=60)))

        def answer(self, status: int, body: bytes, model: str) -> None:
            self.send_response(status)
            self.send_header("x-model-version", model)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def right(photo: bytes, answer: httpx.Response) -> tuple[bytes, str]:
    return answer.content, answer.headers["x-model-version"]


def empty(photo: bytes, answer: httpx.Response) -> tuple[bytes, str]:
    """Nothing but background, of the right size."""
    blank = io.BytesIO()
    Image.new("P", ImageOps.exif_transpose(Image.open(io.BytesIO(photo))).size).save(blank, "PNG")
    return blank.getvalue(), answer.headers["x-model-version"]


def lying_down(photo: bytes, answer: httpx.Response) -> tuple[bytes, str]:
    turned = io.BytesIO()
    Image.open(io.BytesIO(answer.content)).transpose(Image.Transpose.ROTATE_90).save(turned, "PNG")
    return turned.getvalue(), answer.headers["x-model-version"]


def of_another_model(photo: bytes, answer: httpx.Response) -> tuple[bytes, str]:
    return answer.content, "starter/0"


def test_a_container_of_this_checkout_passes(container: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert golden.main(["--url", container]) == 0
    out, err = capsys.readouterr()
    assert (out.count("IoU 1.0000"), err) == (10, "")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (empty, "cat.jpg: IoU 0.0000, less than 0.99"),
        (lying_down, "cat.jpg: a mask of 300 × 451 px, not of 451 × 300 px"),
        (of_another_model, "cat.jpg: answered by starter/0, not by starter/"),
    ],
    ids=["empty", "lying down", "another model"],
)
def test_a_container_that_is_wrong_fails_and_says_how(
    reference: str, capsys: pytest.CaptureFixture[str], wrong: Wrong, said: str
) -> None:
    with stand_in(reference, wrong) as url:
        assert golden.main(["--url", url]) == 1
    assert said in capsys.readouterr().err


def test_nobody_there_fails(
    reference: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(golden, "_START", 0.1)
    assert golden.main(["--url", f"http://127.0.0.1:{free_port()}"]) == 1
    assert capsys.readouterr().err == "the container does not get ready: /readyz answered nothing\n"


def test_a_candidate_is_shown_a_token_for_its_service(
    reference: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("google.oauth2.id_token.fetch_id_token", lambda request, audience: f"for {audience}")
    with stand_in(reference, right, token="for https://segment.example") as url:
        file = tmp_path / "candidate.json"
        file.write_text(json.dumps({"url": url, "audience": "https://segment.example"}))
        assert golden.main(["--candidate", str(file)]) == 0


def test_masks_agree_by_class_and_the_background_does_not_count() -> None:
    one = np.array([[0, 0, 0, 1, 1, 2]])
    assert golden.iou(one, one) == 1
    assert golden.iou(one, np.array([[0, 0, 0, 1, 1, 1]])) == 0.5
    assert golden.iou(one, np.zeros_like(one)) == 0
    assert golden.iou(np.zeros_like(one), np.zeros_like(one)) == 1
