"""The API as it is deployed: functions-framework's own server, in its own process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from local import devtoken
from shared.settings import Settings
from tests.integration.apis import JPEG, backend

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def server(settings: Settings) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [str(Path(sys.executable).with_name("functions-framework")), "--target", "api", "--asgi"]
    where = ["--source", str(ROOT / "functions/api/main.py"), "--host", "127.0.0.1", "--port", str(port)]
    environment = settings.environment() | {"PYTHONPATH": str(ROOT)}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*command, *where], env=environment, cwd=settings.data, stdout=quiet, stderr=quiet)
    try:
        yield _ready(process, f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(20)


def _ready(process: subprocess.Popen[bytes], url: str) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return url
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the API did not start")


def test_the_deployed_file_serves_a_prediction_and_streams_its_end(tmp_path: Path) -> None:
    stack = backend(tmp_path)
    with server(stack.settings) as url:
        headers = {"authorization": f"Bearer {devtoken.issue(stack.settings, 'ada')}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as ada:
            made = ada.post("/v1/predictions", json=JPEG).json()
            path = f"/v1/predictions/{made['id']}"
            with ada.stream("GET", f"{path}:watch") as stream:
                data = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
                assert next(data)["phase"] == "waiting_for_upload"  # at once: nothing on the way buffers
                stack.succeed(made["id"])
                assert list(data)[-1]["state"] == "SUCCEEDED"
            with ada.stream("GET", "/v1/predictions/none:watch") as stream:
                assert stream.status_code == 404
            assert ada.delete(path).status_code == 204
            assert ada.get(path).status_code == 404
            assert httpx.get(url + path).status_code == 401
    stack.documents.close()
    stack.objects.close()


def test_importing_the_api_loads_nothing_heavy() -> None:
    heavy = ["torch", "numpy", "PIL", "jwt", "cryptography", "google.cloud.firestore", "google.cloud.storage"]
    probe = f"import sys, functions.api.main; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
