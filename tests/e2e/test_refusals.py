"""Bad input, bad tokens, bad circumstances: one clear answer each, and nothing half-started."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from inference_container.manifest import STARTER
from tests.e2e.photos import huge, photo
from tests.e2e.stacks import Stack, maskline, stack
from tests.integration.containers import broken_bundle

pytestmark = pytest.mark.e2e

REJECTED = {  # file → reason
    "notes.jpg": (b"just a few words, and not a picture at all", "UNSUPPORTED_MEDIA"),
    "empty.jpg": (b"", "CORRUPT_IMAGE"),
    "cut.jpg": (photo()[:9000], "CORRUPT_IMAGE"),
    "head only.png": (photo("chelsea", None, "PNG")[:33], "CORRUPT_IMAGE"),
    "huge.png": (huge(), "TOO_MANY_PIXELS"),
    "tiny.png": (photo("chelsea", (15, 15), "PNG"), "BAD_DIMENSIONS"),
    "thin.png": (photo("chelsea", (4000, 20), "PNG"), "BAD_DIMENSIONS"),
    "large.jpg": (photo() + bytes(21 << 20), "TOO_LARGE"),
    "animation.gif": (photo("chelsea", None, "GIF"), "UNSUPPORTED_MEDIA"),
}
ODD_NAMES = ("wrong.png", "no extension", "ümläut 写真.jpg", "a&b?c=d#e.jpg", "%2e%2e.jpg", "-rf", "quote'\".jpg")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("data"), MASKLINE_CACHE="off") as started:
        yield started


def test_unusable_files_are_rejected_with_a_reason_and_a_sentence(running: Stack) -> None:
    for number, (data, _) in enumerate(REJECTED.values()):
        running.drop(f"users/mallory{number}/{list(REJECTED)[number]}", data)
    for number, (name, (_, reason)) in enumerate(REJECTED.items()):
        [found] = running.ended(f"mallory{number}", 1)
        assert (found["state"], found["error"]["reason"]) == ("REJECTED", reason), name
        message = found["error"]["message"]
        assert message.endswith(".")
        assert "/" not in message


def test_odd_names_and_wrong_extensions_do_not_matter(running: Stack) -> None:
    for name in ODD_NAMES:
        running.drop(f"users/bobby/{name}", photo())
    found = running.ended("bobby", len(ODD_NAMES))
    assert {one["state"] for one in found} == {"SUCCEEDED"}
    assert {one["input"]["contentType"] for one in found} == {"image/jpeg"}


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer nonsense", "Basic YTpi"])
def test_a_missing_or_wrong_token_is_401(running: Stack, token: str) -> None:
    answer = httpx.get(f"{running.url}/v1/predictions", headers={"authorization": token} if token else {})
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_somebody_elses_prediction_does_not_exist(running: Stack) -> None:
    made = running.user("ada").create("image/jpeg", 1, str(uuid.uuid4()))
    answer = running.call("eve", "GET", f"/v1/predictions/{made['id']}")
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")


def test_an_announced_size_over_the_limit_is_refused_at_once(running: Stack) -> None:
    answer = running.call("ada", "POST", "/v1/predictions", json={"contentType": "image/jpeg", "sizeBytes": 21 << 20})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0]["field"] == "sizeBytes"


def test_an_upload_of_another_size_or_type_than_announced_is_refused(running: Stack) -> None:
    made = running.user("ada").create("image/jpeg", 10, str(uuid.uuid4()))
    longer = httpx.put(made["uploadUrl"], headers=made["uploadHeaders"], content=photo())
    other = httpx.put(made["uploadUrl"], headers=made["uploadHeaders"] | {"content-type": "text/html"}, content=b"x")
    assert (longer.is_error, other.is_error) == (True, True)
    assert running.user("ada").get(made["id"])["state"] == "AWAITING_UPLOAD"


def refused(*arguments: str | Path, **settings: str) -> str:
    """The one line that `maskline up` ends with."""
    done = maskline("up", "--no-samples", *arguments, **settings)
    assert done.returncode != 0
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in refused("--port", str(port), "--data", tmp_path / "data")


def test_an_unwritable_data_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert "data folder" in refused("--port", "0", "--data", tmp_path / "file")


def test_a_broken_model_bundle_is_one_clear_line(tmp_path: Path) -> None:
    bundle = broken_bundle(tmp_path / "bundle", STARTER)
    line = refused("--port", "0", "--data", tmp_path / "data", MASKLINE_MODEL=str(bundle))
    assert "model.safetensors" in line


def test_a_second_stack_on_the_same_data_is_refused(running: Stack) -> None:
    assert "data folder" in refused("--port", "0", "--data", running.data)


def test_contradictory_settings_are_refused_together(tmp_path: Path) -> None:
    line = refused("--data", tmp_path / "d", MASKLINE_LEASE_SECONDS="30", MASKLINE_WORK_BUDGET_SECONDS="31")
    assert "MASKLINE_WORK_BUDGET_SECONDS" in line
