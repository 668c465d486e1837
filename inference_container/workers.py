"""The device as the server sees it: processes (`worker`) that take one batch each from files to masks.

The serving process imports no torch, no numpy and no Pillow: its threads only wait. A worker that dies takes its batch
with it and nobody else; like a broken GPU it then ends the instance, because a new one is known to be whole.
"""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from inference_container.cores import cores
from inference_container.faults import DeviceBroken
from inference_container.frames import Ended, receive, receive_answers, send_jobs
from inference_container.manifest import parse
from inference_container.segmented import Answer, Job
from shared.errors import Misconfigured

COMMAND = (sys.executable, "-m", "inference_container.worker")
DEAD = "a worker of the device has died"


class Workers:
    """A loaded model on its device. `phases`: seconds of import, weights, warm-up. `died`: done once a worker is dead.

    Made once the model is loaded. Raises `Misconfigured`: what `device.Device` raises, or that loading failed.
    """

    def __init__(self, directory: Path, name: str, most: int) -> None:
        pairs = [socket.socketpair() for _ in range(min(cores(), most))]
        self.workers = len(pairs)
        self._sockets = [ours for ours, _ in pairs]
        self._process = _started([*COMMAND, str(directory), name], [theirs for _, theirs in pairs])
        hello = _hello(self._sockets[0])
        self.kind: str = hello["kind"]
        self.manifest = parse(hello["manifest"])
        self.phases: list[float] = hello["phases"]
        self._idle: SimpleQueue[socket.socket] = SimpleQueue()
        for one in self._sockets:
            self._idle.put(one)
        self.died: Future[None] = Future()
        self.died.set_running_or_notify_cancel()  # whoever waits may stop waiting; this goes on
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def run(self, jobs: Sequence[Job]) -> list[Answer]:
        """`segmenter.Segmenter.run`, in an idle worker; waits for one."""
        worker = self._idle.get()
        try:
            send_jobs(worker, jobs)
            answers = receive_answers(worker)
        except Ended:
            return [DeviceBroken(DEAD)] * len(jobs)
        except BaseException:
            worker.shutdown(socket.SHUT_RDWR)  # in the middle of an answer: its rest would be read as the next one
            raise
        if not any(isinstance(answer, DeviceBroken) for answer in answers):
            self._idle.put(worker)  # nobody is to meet a dead one, or a broken device, after these
        return answers

    def _watch(self) -> None:
        poll = select.poll()
        for one in self._sockets:
            poll.register(one, select.POLLRDHUP)  # and never for an answer
        poll.poll()
        self.died.set_result(None)


def _started(command: Sequence[str], theirs: Sequence[socket.socket]) -> subprocess.Popen[bytes]:
    """With signals blocked that may be meant for a whole group: the server says when, by closing the sockets."""
    numbers = [one.fileno() for one in theirs]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    try:
        return subprocess.Popen([*command, *map(str, numbers)], stdin=subprocess.DEVNULL, pass_fds=numbers)
    except OSError:
        raise Misconfigured("no process could be started for the device") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for one in theirs:
            one.close()


def _hello(first: socket.socket) -> dict[str, Any]:
    try:
        about, _ = receive(first)
    except Ended:
        raise Misconfigured("the model could not be loaded: its process has died") from None
    if "failure" in about:
        raise Misconfigured(about["failure"])
    found: dict[str, Any] = about
    return found
