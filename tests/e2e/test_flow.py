"""From a photo to its mask through every process, as an app, a script and a person with a file would do it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.contract import emulators
from tests.e2e.photos import photo, sideways
from tests.e2e.stacks import Stack, maskline, stack, wait_for

pytestmark = pytest.mark.e2e
STATES = ("AWAITING_UPLOAD", "QUEUED", "RUNNING", "SUCCEEDED")


@pytest.fixture(scope="module", params=["local", "emulator"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The same flow over both profiles: SQLite and the embedded broker, Google's adapters on the official emulators."""
    if request.param == "emulator":
        emulators.required()
    with stack(tmp_path_factory.mktemp("data"), "--profile", request.param, MASKLINE_CACHE="off") as started:
        yield started


def send(running: Stack, user: str, data: bytes, content_type: str = "image/jpeg") -> str:
    client = running.user(user)
    made = client.create(content_type, len(data), str(uuid.uuid4()))
    client.upload(made, data)
    return str(made["id"])


def test_a_photo_becomes_a_mask_of_its_own_size(running: Stack) -> None:
    data = photo("astronaut")
    done = running.user("ada").wait(send(running, "ada", data))
    assert done["state"] == "SUCCEEDED"
    assert done["input"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert (done["input"]["width"], done["input"]["height"]) == (512, 512)
    png = running.user("ada").mask(done)
    assert hashlib.sha256(png).hexdigest() == done["result"]["sha256"]
    mask = Image.open(BytesIO(png))
    assert (mask.size, mask.mode) == ((512, 512), "P")
    pixels = np.asarray(mask)
    counted = {int(value): int(count) for value, count in zip(*np.unique(pixels, return_counts=True), strict=True)}
    assert counted == {row["id"]: row["pixels"] for row in done["result"]["classes"]}
    assert sum(row["fraction"] for row in done["result"]["classes"]) == pytest.approx(1, abs=1e-3)
    assert "person" in {row["name"] for row in done["result"]["classes"]}
    assert done["timings"].keys() >= {"queued", "fetch", "decode", "batchWait", "forward", "encode", "store", "total"}


def test_a_photo_sent_in_pieces_over_a_connection_that_breaks(running: Stack) -> None:
    client, data, piece = running.user("ada"), photo("chelsea", (3000, 2000)), 256 << 10
    made = client.create("image/jpeg", len(data), str(uuid.uuid4()))
    start = {**made["uploadHeaders"], "x-goog-resumable": "start"}
    session = httpx.post(made["resumableUploadUrl"], headers=start, timeout=30).headers["location"]
    first = {"content-range": f"bytes 0-{piece - 1}/{len(data)}"}
    assert httpx.put(session, content=data[:piece], headers=first, timeout=30).status_code == 308

    def breaks() -> Iterator[bytes]:
        yield data[piece : piece + 1000]
        raise ConnectionError("the train went into a tunnel")

    rest = {"content-range": f"bytes {piece}-{len(data) - 1}/{len(data)}"}
    with pytest.raises(ConnectionError):
        httpx.put(session, content=breaks(), headers={**rest, "content-length": str(len(data) - piece)}, timeout=30)
    ask = {"content-range": f"bytes */{len(data)}"}
    heard = wait_for(lambda: httpx.put(session, headers=ask, timeout=30).headers.get("range"), "the end of the request")
    had = int(heard.rpartition("-")[2]) + 1
    assert piece <= had <= piece + 1000
    rest = {"content-range": f"bytes {had}-{len(data) - 1}/{len(data)}"}
    assert httpx.put(session, content=data[had:], headers=rest, timeout=30).status_code == 200
    done = client.wait(made["id"])
    assert (done["state"], done["input"]["sha256"]) == ("SUCCEEDED", hashlib.sha256(data).hexdigest())


def test_a_photo_taken_sideways_gets_an_upright_mask(running: Stack) -> None:
    done = running.user("ada").wait(send(running, "ada", sideways()))
    assert (done["result"]["width"], done["result"]["height"]) == (300, 451)
    assert Image.open(BytesIO(running.user("ada").mask(done))).size == (300, 451)


@pytest.mark.parametrize(("format", "kind"), [("PNG", "image/png"), ("WEBP", "image/webp")])
def test_other_formats(running: Stack, format: str, kind: str) -> None:
    done = running.user("ada").wait(send(running, "ada", photo("chelsea", None, format), kind))
    assert (done["state"], done["input"]["contentType"]) == ("SUCCEEDED", kind)


def test_twelve_megapixels(running: Stack) -> None:
    done = running.user("ada").wait(send(running, "ada", photo("chelsea", (4000, 3000))))
    assert (done["state"], done["result"]["width"], done["result"]["height"]) == ("SUCCEEDED", 4000, 3000)


def test_files_that_anybody_copies_into_the_bucket_are_segmented(running: Stack) -> None:
    running.drop("holiday/cat.jpg", photo())
    running.drop("users/grace/cat.jpg", photo())
    assert [one["state"] for one in running.ended("grace", 1)] == ["SUCCEEDED"]
    assert [one["state"] for one in running.ended("operator", 1)] == ["SUCCEEDED"]


def test_the_state_can_be_watched_and_only_moves_forward(running: Stack) -> None:
    client = running.user("ada")
    made = client.create("image/jpeg", len(photo()), str(uuid.uuid4()))
    seen = []
    headers = {"authorization": f"Bearer {client.token()}"}
    with httpx.stream("GET", f"{running.url}/v1/predictions/{made['id']}:watch", headers=headers, timeout=60) as events:
        lines = events.iter_lines()
        for line in lines:
            if line.startswith("data: "):
                seen.append(json.loads(line[6:])["state"])
                if seen == ["AWAITING_UPLOAD"]:
                    client.upload(made, photo())
    assert seen[-1] == "SUCCEEDED"
    assert [STATES.index(state) for state in seen] == sorted(STATES.index(state) for state in seen)


def test_the_first_photo_pays_for_the_cold_start_and_idle_instances_stop(tmp_path: Path) -> None:
    with stack(tmp_path / "data", MASKLINE_IDLE_SECONDS="1", MASKLINE_CACHE="off") as running:
        assert running.pid("inference") is None
        client = running.user("ada")
        first = client.wait(send(running, "ada", photo()))
        assert first["timings"]["coldStart"] > 0
        wait_for(lambda: running.pid("inference") is None, "the idle instance to stop")
        again = client.wait(send(running, "ada", photo("coffee")))
        assert (again["state"], again["timings"]["coldStart"] > 0) == ("SUCCEEDED", True)


def test_the_same_request_id_is_the_same_prediction(running: Stack) -> None:
    client, name = running.user("ada"), str(uuid.uuid4())
    made = [client.create("image/jpeg", len(photo()), name)["id"] for _ in range(2)]
    assert made[0] == made[1]


def test_a_cancelled_prediction_stays_cancelled(running: Stack) -> None:
    client = running.user("ada")
    made = client.create("image/jpeg", len(photo()), str(uuid.uuid4()))
    assert running.call("ada", "POST", f"/v1/predictions/{made['id']}:cancel").json()["state"] == "CANCELLED"
    client.upload(made, photo())
    done = running.user("ada").wait(send(running, "ada", photo("coffee")))  # whatever came before it is through
    assert done["state"] == "SUCCEEDED"
    assert client.get(made["id"])["state"] == "CANCELLED"


def test_feedback_is_kept_with_the_result_it_corrects(running: Stack) -> None:
    client = running.user("ada")
    done = client.wait(send(running, "ada", photo()))
    path = f"/v1/predictions/{done['id']}/feedback"
    mask = client.mask(done)
    verdict = running.call("ada", "PUT", f"{path}/{uuid.uuid4()}", json={"verdict": "good"})
    token = {"authorization": f"Bearer {client.token()}", "content-type": "image/png"}
    corrected = httpx.put(f"{running.url}{path}/{uuid.uuid4()}", content=mask, headers=token, timeout=30)
    assert verdict.is_success
    assert corrected.is_success


def test_commands_send_and_audit(running: Stack, tmp_path: Path) -> None:
    file = tmp_path / "my cat.jpg"
    file.write_bytes(photo())
    where = ("--url", running.url, "--data", running.data)
    sent = maskline("send", file, "--wait", "--json", "--out", tmp_path / "out", *where)
    [row] = json.loads(sent.stdout)
    assert (sent.returncode, row["file"], row["state"]) == (0, str(file), "SUCCEEDED")
    with Image.open(row["mask"]) as mask:
        assert mask.size == (451, 300)
    report = maskline("audit", "--json", *where)
    assert (report.returncode, json.loads(report.stdout)) == (
        0,
        {"missing": [], "duplicated": [], "unexpected": [], "stuck": []},
    )
    assert ("not looked at" in report.stderr) == (running.pid("pubsub") is not None)


def test_every_role_is_listed(running: Stack) -> None:
    roles = {row["role"] for row in running.processes()}
    assert roles >= {"up", "api", "accept", "settle", "objects", "scaler", "gateway"}
    assert roles >= {"broker"} or roles >= {"firestore", "pubsub", "scheduler"}
