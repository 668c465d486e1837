"""`python -m inference_container.worker DIRECTORY DEVICE FD…`: the workers of a device; `workers` starts them.

Every core is a worker: a process with one thread that takes a batch of photos from file to mask, as fast as a loop
without a server would. The first one loads the model and forks the others, which share its pages; what they do not
share is Python's lock, and the caches of a core that two threads would take turns on. Each serves one of the sockets
FD… until that is closed. Linux only.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from ctypes import c_double, sizeof
from pathlib import Path
from typing import TYPE_CHECKING

from inference_container.frames import Ended, receive_jobs, send, send_answers
from inference_container.memory import PERIOD, trimmer
from inference_container.segmenter import ANY, Segmenter
from shared.errors import Misconfigured
from shared.logs import Log
from shared.settings import Settings

if TYPE_CHECKING:
    from inference_container.device import Device

_GPU = Path("/dev/nvidiactl")


def main() -> None:
    directory, name, *numbers = sys.argv[1:]
    sockets = [socket.socket(fileno=int(number)) for number in numbers]
    try:
        run(Path(directory), name, sockets)
    except Ended:
        pass
    os._exit(0)  # there is nothing to tidy, and torch's own end takes its time


def run(directory: Path, name: str, sockets: Sequence[socket.socket]) -> None:
    """Load and fork, say so on the first socket, and serve one. Raises `Ended`."""
    fits = c_double.from_buffer(mmap.mmap(-1, sizeof(c_double)))  # shared: what one worker learns, all know
    fits.value = ANY
    try:
        device, phases, mine = _loaded(directory, name, sockets)
    except Exception as error:
        unknown = f"the model could not be loaded ({type(error).__name__})"
        _fail(sockets[0], str(error) if isinstance(error, Misconfigured) else unknown)
        return
    if mine is sockets[0]:
        manifest = device.manifest.to_json()
        send(mine, {"kind": device.kind, "manifest": manifest, "phases": phases})
    settings = Settings.from_env()
    gc.freeze()  # what a GPU's worker loaded after it was forked
    serve(_segmenter(device, fits, settings), mine, settings.work_budget_seconds)


def _fail(first: socket.socket, message: str) -> None:
    if first.fileno() >= 0:
        send(first, {"failure": message})
    else:  # a forked worker has closed it
        print(message, file=sys.stderr, flush=True)


def _loaded(directory: Path, name: str, sockets: Sequence[socket.socket]) -> tuple[Device, list[float], socket.socket]:
    """The device, how many seconds import, weights and warm-up took, and which of the sockets is this process's.

    A CPU's workers share what was loaded before they were forked. A GPU's are forked first: a process that has spoken
    to it cannot be.
    """
    began = time.monotonic()
    from inference_container.device import Device

    imported = time.monotonic()
    on_gpu = name == "cuda" or (name == "auto" and _GPU.exists())
    if on_gpu:
        mine = _forked(sockets)
    device = Device(directory, name if on_gpu else "cpu")
    weighted = time.monotonic()
    device.warm_up()
    phases = [imported - began, weighted - imported, time.monotonic() - weighted]
    return device, phases, mine if on_gpu else _forked(sockets)


def _forked(sockets: Sequence[socket.socket]) -> socket.socket:
    """This process's socket, once there is a process for each."""
    gc.collect()
    gc.freeze()  # else the collector writes to every page that they share
    place = next((place for place in range(1, len(sockets)) if os.fork() == 0), 0)
    for other, one in enumerate(sockets):
        if other != place:
            one.close()  # a copy that stays open here would hide that its worker has died
    return sockets[place]


def _segmenter(device: Device, fits: c_double, settings: Settings) -> Segmenter:
    if not settings.decode_processes:
        from inference_container import resample  # torch is there by now

        return Segmenter(device, resample.decode, fits)
    from inference_container.sandbox import Sandbox  # only where it is asked for

    # Half the work budget: a decoder that hangs is ended before the claims of its batch are.
    sandbox = Sandbox(1, settings.work_budget_seconds / 2, Log("segment", settings.log_level))
    return Segmenter(device, sandbox.decode, fits)


def serve(segmenter: Segmenter, asked: socket.socket, budget: float) -> None:
    """Answer batch after batch. Raises `Ended`.

    A batch that takes twice the work budget (seconds), which nobody waits for any more, ends this process: by a signal,
    for what hangs may be deep in a library.
    """
    trim, due = trimmer(), time.monotonic() + PERIOD
    while True:
        jobs = receive_jobs(asked)
        signal.setitimer(signal.ITIMER_REAL, 2 * budget)  # SIGALRM kills, as it is not handled
        answers = segmenter.run(jobs)
        signal.setitimer(signal.ITIMER_REAL, 0)
        send_answers(asked, answers)
        if trim and time.monotonic() > due:
            trim(0)
            due = time.monotonic() + PERIOD


if __name__ == "__main__":
    main()
