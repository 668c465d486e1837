"""`python -m deploy.golden (--url URL | --candidate FILE) [--model DIR]`: does a candidate see what it should see?

Sends the sample photos to a container's `/v1/segment` and compares its masks with those that the model bundle gives in
this checkout, on this machine. Exit 1 unless model, sizes and masks agree; other hardware rounds differently, so a mask
agrees from an IoU of 0.99.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from local import samples
from local.stack import free_ports
from shared.errors import MasklineError, Retryable

LEAST = 0.99
_START = 420.0  # s until a candidate answers: Cloud Run gives a start 240 s, and may try again
_ANSWER = 120.0  # s for one photo
_PAUSE = 0.5  # s


@dataclass(frozen=True, slots=True)
class Answer:
    model: str  # name/version
    mask: np.ndarray[Any, np.dtype[np.uint8]]  # [height, width] of class ids, upright


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.golden", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="where a container answers that asks for no token")
    where.add_argument("--candidate", type=Path, help="what `deploy.candidate` wrote")
    parser.add_argument("--model", default="", help="bundle folder; without it, the starter model")
    options = parser.parse_args(arguments)
    try:
        url, headers = _address(options.candidate) if options.candidate else (options.url, {})
        found = problems(url, headers, options.model)
    except MasklineError as error:
        found = [str(error)]
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


def problems(url: str, headers: Mapping[str, str], model: str) -> list[str]:
    """One line for each photo that it sees differently."""
    with tempfile.TemporaryDirectory() as folder:
        photos = samples.prepare(Path(folder))
        with here(model) as reference:
            expected = answers(reference, {}, photos)
        given = answers(url, headers, photos)
    return [line for photo in photos for line in compared(photo.name, given[photo.name], expected[photo.name])]


def compared(name: str, given: Answer, expected: Answer) -> list[str]:
    if given.model != expected.model:
        return [f"{name}: answered by {given.model}, not by {expected.model}"]
    if given.mask.shape != expected.mask.shape:
        return [f"{name}: a mask of {_size(given)}, not of {_size(expected)}"]
    found = iou(given.mask, expected.mask)
    print(f"{name:24} IoU {found:.4f}")
    return [] if found >= LEAST else [f"{name}: IoU {found:.4f}, less than {LEAST}"]


def _size(answer: Answer) -> str:
    height, width = answer.mask.shape
    return f"{width} × {height} px"


def iou(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Intersection over union of equal class ids, all but the background's pooled; 1 where neither has any."""
    agreed = int(((one == other) & (one > 0)).sum())
    either = int((one > 0).sum()) + int((other > 0).sum()) - agreed
    return agreed / either if either else 1.0


def answers(url: str, headers: Mapping[str, str], photos: Sequence[Path]) -> dict[str, Answer]:
    """Raises `Retryable` where there is no answer within the time."""
    with httpx.Client(base_url=url, headers=headers, timeout=_ANSWER) as client:
        _wait(client, "/readyz")
        return {photo.name: _answer(client, photo) for photo in photos}


@contextmanager
def here(model: str) -> Iterator[str]:
    """This checkout's own container."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "inference_container", "--port", str(port), *(["--model", model] if model else [])]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _answer(client: httpx.Client, photo: Path) -> Answer:
    try:
        answer = client.post("/v1/segment", content=photo.read_bytes())
    except httpx.HTTPError:
        raise Retryable(f"{photo.name}: no answer") from None
    if answer.status_code != 200:
        raise Retryable(f"{photo.name}: answered with {answer.status_code}")
    mask = np.asarray(Image.open(io.BytesIO(answer.content)))
    return Answer(answer.headers.get("x-model-version", "nobody"), mask)


def _wait(client: httpx.Client, path: str) -> None:
    deadline = time.monotonic() + _START
    status = "nothing"
    while time.monotonic() < deadline:
        try:
            status = str(client.get(path).status_code)
            if status == "200":
                return
        except httpx.HTTPError:
            pass
        if status in ("401", "403", "404"):
            break
        time.sleep(_PAUSE)
    raise Retryable(f"the container does not get ready: {path} answered {status}")


def _address(file: Path) -> tuple[str, dict[str, str]]:
    """Of a private service: the caller proves who it is to the service, whatever tag it calls."""
    from google.auth.transport.requests import Request
    from google.oauth2.id_token import fetch_id_token

    found = json.loads(file.read_text("utf-8"))
    token = fetch_id_token(Request(), found["audience"])
    return found["url"], {"authorization": f"Bearer {token}"}


if __name__ == "__main__":
    sys.exit(main())
