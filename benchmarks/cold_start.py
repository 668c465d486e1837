"""From process start to the first correct mask, beside a bare script that can do nothing less.

What limits it: `import torch` is 85 to 90 % of any cold start. The bare script imports torch, builds the network,
loads the weights and runs once; the container must do the same and also listen, decode and encode; the whole local
system must also notice the photo, queue it and start an instance from zero.

    python -m benchmarks.cold_start --rounds 5
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.photos import photos
from benchmarks.processes import free_port
from benchmarks.report import finish, spread
from benchmarks.system import stack, wait_until_ended
from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects

BARE = """
import torch
from inference_container import bundle
model = bundle.load(bundle.STARTER)
with torch.inference_mode():
    model.module(torch.zeros((1, 3, 192, 192), dtype=torch.uint8))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    photo = next(photos(1))
    bare, container, system = [], [], []
    for number in range(rounds):
        bare.append(bare_script())
        container.append(container_to_first_mask(photo))
        system.append(system_to_first_mask(photo))
        print(f"round {number + 1}: bare {bare[-1]:.2f} s, container {container[-1]:.2f} s, system {system[-1]:.2f} s")
    finish(
        "cold_start",
        {
            "bare_s": spread(bare),
            "container_s": spread(container),
            "system_s": spread(system),
            "container_ratio": spread([c / b for c, b in zip(container, bare, strict=True)]),
            "system_ratio": spread([s / b for s, b in zip(system, bare, strict=True)]),
        },
    )


def bare_script() -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", BARE], check=True)
    return time.monotonic() - started


def container_to_first_mask(photo: bytes) -> float:
    """Start, knock until somebody answers, and hand in one photo as soon as the port is open."""
    port = free_port()
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "inference_container", "--port", str(port)], stdout=subprocess.DEVNULL
    )
    try:
        ask(f"http://127.0.0.1:{port}/v1/segment", photo)
        return time.monotonic() - started
    finally:
        process.terminate()
        process.wait(20)


def ask(url: str, photo: bytes, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            request = urllib.request.Request(url, photo, {"Content-Type": "image/jpeg"})
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                answer.read()
                return
        except OSError:  # nobody listens yet, or 503 until the model is ready
            time.sleep(0.01)
    raise TimeoutError("no mask")


def system_to_first_mask(photo: bytes) -> float:
    """The stack is up with zero instances; a photo lands in the bucket; its document says SUCCEEDED."""
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder)):
        documents = LocalDocuments(Path(folder) / "documents.db")
        started = time.monotonic()
        LocalObjects(Path(folder)).put("uploads", "users/bench/first.jpg", photo, "image/jpeg")
        wait_until_ended(documents, 1, pause=0.01)
        return time.monotonic() - started


if __name__ == "__main__":
    main()
