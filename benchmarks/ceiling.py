"""The offline ceiling: decode, model and encode in a loop on every core, with the container's own code and no server.

One process with one torch thread for each core: the best way this code can run without a server. A window is measured
one photo at a time and in batches of 4 and 8, as the container may form them, and the best one is the ceiling.
On a GPU the cores decode and encode only (`codec`), one process keeps the device busy with whole batches (`forward`),
and the ceiling is the smaller of the two. Workers stay for a whole benchmark, so that windows may take turns.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference_container.device import Device

STAGES = ("decode", "forward", "encode")
BATCHES = (1, 4, 8)
BATCH = 64  # of a GPU alone
PATIENCE = 600.0  # s until a worker must have answered, however busy the machine is
Workers = Sequence["subprocess.Popen[str]"]


@dataclass(frozen=True, slots=True)
class Rate:
    """`cpu_ms` and `stage_ms`: milliseconds per image, of one core."""

    images_per_s: float
    cpu_ms: float
    stage_ms: dict[str, float]
    batch: int = 1


class Ceiling:
    """Workers for the photos in `folder` (`0.jpg`, `1.jpg` …)."""

    def __init__(self, folder: Path, device: str, workers: Workers) -> None:
        self._folder = folder
        self._device = device
        self._workers = workers

    def measure(self, seconds: float) -> Rate:
        if self._device == "cpu":
            return max((self.whole(seconds, batch) for batch in BATCHES), key=lambda rate: rate.images_per_s)
        return min(self._all("codec", seconds), self.forward(seconds), key=lambda rate: rate.images_per_s)

    def whole(self, seconds: float, batch: int) -> Rate:
        return replace(self._all(f"whole{batch}", seconds), batch=batch)

    def codec(self, seconds: float) -> Rate:
        return self._all("codec", seconds)

    def forward(self, seconds: float) -> Rate:
        return _sum([_ask(self._workers[0], "forward", seconds)])

    def masks(self) -> list[bytes]:
        """The reference: the mask of every photo, made one by one."""
        return [bytes.fromhex(mask) for mask in _ask(self._workers[0], "masks", 0)["masks"]]

    def _all(self, work: str, seconds: float) -> Rate:
        return together(self._workers, work, seconds)


@contextmanager
def ceiling(folder: Path, device: str, cores: int) -> Iterator[Ceiling]:
    with started(["benchmarks.ceiling", str(folder), device], cores) as workers:
        yield Ceiling(folder, device, workers)


@contextmanager
def started(module: Sequence[str], count: int, environ: Mapping[str, str] | None = None) -> Iterator[Workers]:
    """`count` processes of a module that answers lines as this one does, all of them ready."""
    command = [sys.executable, "-m", *module]
    workers = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environ) for _ in range(count)]
    try:
        for worker in workers:
            _heard(worker)
        yield workers
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait(20)


def together(workers: Workers, work: str, seconds: float) -> Rate:
    """All of them at once, and what they did in sum."""
    for worker in workers:
        _tell(worker, work, seconds)
    return _sum([_heard(worker) for worker in workers])


def _ask(worker: subprocess.Popen[str], work: str, seconds: float) -> dict[str, Any]:
    _tell(worker, work, seconds)
    return _heard(worker)


def _tell(worker: subprocess.Popen[str], work: str, seconds: float) -> None:
    assert worker.stdin is not None
    worker.stdin.write(f"{work} {seconds}\n")
    worker.stdin.flush()


def _heard(worker: subprocess.Popen[str]) -> dict[str, Any]:
    assert worker.stdout is not None
    ready, _, _ = select.select([worker.stdout], [], [], PATIENCE)  # a worker writes one line for each that it reads
    if not ready:
        raise TimeoutError("a worker of the ceiling did not answer")
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError("a worker of the ceiling ended early")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _sum(parts: Sequence[dict[str, Any]]) -> Rate:
    count = sum(part["count"] for part in parts)
    stages = {name: sum(part["stages"][name] for part in parts) / count * 1000 for name in STAGES}
    cpu = sum(part["cpu"] for part in parts) / count * 1000
    return Rate(sum(part["count"] / part["seconds"] for part in parts), cpu, stages)


class Watch:
    """Seconds by stage, of one window at a time."""

    def __init__(self) -> None:
        self._spent = dict.fromkeys(STAGES, 0.0)

    def timed(self, stage: str, work: Callable[[], Any]) -> Any:
        began = time.monotonic()
        done = work()
        self._spent[stage] += time.monotonic() - began
        return done

    def window(self, step: Callable[[], int], seconds: float) -> dict[str, Any]:
        """`step` says how many photos it did."""
        self._spent = dict.fromkeys(STAGES, 0.0)
        began, cpu, count = time.monotonic(), time.process_time(), 0
        while time.monotonic() < began + seconds:
            count += step()
        spent = {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}
        return {"count": count, "stages": self._spent} | spent


class _Worker:
    def __init__(self, folder: Path, device: Device) -> None:
        from inference_container.cells import laid_out
        from inference_container.decode import Photo
        from inference_container.encode import encode
        from inference_container.resample import decode

        self._photos = photos_in(folder)
        self._device = device
        self._decode: Callable[[bytes], Photo] = lambda data: decode(data, device.manifest.input_size)
        self._encode: Callable[[Photo, Any], bytes] = lambda photo, classes: (
            encode(laid_out(classes, photo.width, photo.height), device.manifest.classes).png
        )
        self._watch = Watch()
        self._next = 0

    def answer(self, work: str, seconds: float) -> dict[str, Any]:
        if work == "masks":
            return {"masks": [self._whole([data])[0].hex() for data in self._photos]}
        if work.startswith("whole"):
            step = self._batch(int(work.removeprefix("whole")))
        else:
            step = {"codec": self._codec, "forward": self._forward}[work]()
        return self._watch.window(step, seconds)

    def _batch(self, size: int) -> Callable[[], int]:
        def step() -> int:
            return len(self._whole([self._turn() for _ in range(size)]))

        return step

    def _codec(self) -> Callable[[], int]:
        maps = {data: self._device.segment([self._decode(data).pixels])[0] for data in self._photos}

        def step() -> int:
            data = self._turn()
            photo = self._watch.timed("decode", lambda: self._decode(data))
            self._watch.timed("encode", lambda: self._encode(photo, maps[data]))
            return 1

        return step

    def _forward(self) -> Callable[[], int]:
        batch = [self._decode(self._photos[0]).pixels] * (BATCH if self._device.kind == "cuda" else 1)

        def step() -> int:
            self._watch.timed("forward", lambda: self._device.segment(batch))
            return len(batch)

        return step

    def _whole(self, files: Sequence[bytes]) -> list[bytes]:
        """All photos have one shape at model size."""
        photos = self._watch.timed("decode", lambda: [self._decode(data) for data in files])
        maps = self._watch.timed("forward", lambda: self._device.segment([photo.pixels for photo in photos]))
        masks: list[bytes] = self._watch.timed("encode", lambda: list(map(self._encode, photos, maps)))
        return masks

    def _turn(self) -> bytes:
        self._next += 1
        return self._photos[self._next % len(self._photos)]


def photos_in(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"), key=lambda path: int(path.stem))]


def serve(answer: Callable[[str, float], dict[str, Any]]) -> None:
    """Say that this worker is ready, then answer every line with one."""
    print("{}", flush=True)
    for line in sys.stdin:
        work, seconds = line.split()
        print(json.dumps(answer(work, float(seconds))), flush=True)


def _work(folder: Path, device: str) -> None:
    from inference_container.device import Device
    from inference_container.manifest import STARTER

    loaded = Device(STARTER, device)
    loaded.warm_up()
    serve(_Worker(folder, loaded).answer)


if __name__ == "__main__":
    _work(Path(sys.argv[1]), sys.argv[2])
