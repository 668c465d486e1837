"""Decoders in processes of their own, for photos from the public: one that hangs or crashes takes nobody with it.

Off by default (MASKLINE_DECODE_PROCESSES): the guards of `decode` bound every file that we know, and a worker that
decodes for itself is faster. What it cannot do is end a decoder, and no more than that. Linux only.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np

from inference_container.decode import Photo
from shared.errors import Misconfigured, Rejected, Retryable
from shared.limits import MAX_BYTES
from shared.logs import Log
from shared.prediction import Reason

COMMAND = (sys.executable, "-m", "inference_container.decoder")
RECYCLED_AFTER = 500  # photos
_START_SECONDS = 60.0
_ROOM = 2 * MAX_BYTES  # bytes: a photo, afterwards its pixels (2048 x 2048 x 3 and some)
_TOO_LONG = "The photo takes too long to decode."
_LATE = "The photo could not be decoded in time."
_NONE = "No decoder could be started."
_CRASHES = "The file is damaged: it crashes the decoder."


class Sandbox:
    """`processes` decoders; a photo may take `seconds`. Safe to call from several threads."""

    def __init__(self, processes: int, seconds: float, log: Log, command: Sequence[str] = COMMAND) -> None:
        if not hasattr(os, "memfd_create"):
            raise Misconfigured("MASKLINE_DECODE_PROCESSES works on Linux only")
        self._seconds = seconds
        self._log = log
        self._command = command
        self._processes = processes
        self._idle: SimpleQueue[_Decoder | None] = SimpleQueue()
        for _ in range(processes):
            self._idle.put(_started(command))

    def decode(self, data: bytes, input_size: int) -> Photo:
        """`decode.decode`, elsewhere. Raises `Rejected`: what it raises, TOO_COMPLEX for a photo that takes too much
        CPU time or memory, CORRUPT_IMAGE for one that crashes a decoder twice: once may be anybody's fault. After
        `seconds` the decoder is killed and `Retryable` raised: a busy machine is not the photo's fault."""
        if len(data) > MAX_BYTES:
            raise Rejected(Reason.TOO_LARGE, f"The file has more than {MAX_BYTES >> 20} MiB.")
        for _ in range(2):
            decoder = self._idle.get()
            try:
                decoder = decoder or _Decoder(self._command)
                return decoder.decode(data, input_size, self._seconds)
            except OSError:
                raise Retryable(_NONE) from None
            except _Ended as error:
                self._log.warning("decoder_died", status=error.status)
                if error.status == -signal.SIGXCPU:
                    raise Rejected(Reason.TOO_COMPLEX, _TOO_LONG) from None
            finally:
                self._idle.put(self._renewed(decoder))
        raise Rejected(Reason.CORRUPT_IMAGE, _CRASHES)

    def _renewed(self, decoder: _Decoder | None) -> _Decoder | None:
        """It, or one that takes its place."""
        if decoder is None or (decoder.process.poll() is None and decoder.photos < RECYCLED_AFTER):
            return decoder
        decoder.close()
        return _started(self._command)

    def close(self) -> None:
        """Once nobody decodes any more."""
        for _ in range(self._processes):
            if decoder := self._idle.get():
                decoder.close()


def _started(command: Sequence[str]) -> _Decoder | None:
    """Ahead of its first photo; None if the system cannot start one now."""
    try:
        return _Decoder(command)
    except OSError:
        return None


class _Ended(Exception):
    """The process has ended, with this status."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class _Decoder:
    """One process. It gets nothing of this one's environment, and no signals that are meant for it."""

    def __init__(self, command: Sequence[str]) -> None:
        shared = os.memfd_create("photo")
        os.ftruncate(shared, _ROOM)
        self.photos = 0
        self._memory = mmap.mmap(shared, _ROOM)
        self._ready = False
        self.process = subprocess.Popen(
            [*command, str(shared)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[shared],
            process_group=0,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
        )
        os.close(shared)

    def decode(self, data: bytes, input_size: int, seconds: float) -> Photo:
        self._wait_ready()
        self.photos += 1
        self._memory[: len(data)] = data
        self._ask({"size": len(data), "side": input_size})
        answer = self._heard(time.monotonic() + seconds, Retryable(_LATE))
        if "reason" in answer:
            raise Rejected(answer["reason"], answer["message"])
        shape = answer.pop("shape")
        pixels = np.frombuffer(self._memory[: shape[0] * shape[1] * shape[2]], np.uint8).reshape(shape)
        return Photo(pixels, **answer)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self._memory.close()

    def _wait_ready(self) -> None:
        if self._ready:
            return
        try:
            self._heard(time.monotonic() + _START_SECONDS, Retryable(_NONE))
        except _Ended:
            raise Retryable(_NONE) from None  # no photo's fault
        self._ready = True

    def _ask(self, question: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
        except BrokenPipeError:
            raise _Ended(self.process.wait()) from None

    def _heard(self, deadline: float, too_late: Exception) -> dict[str, Any]:
        """The next line. Raises `_Ended`; kills the process and raises `too_late` after the deadline."""
        assert self.process.stdout is not None
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN)
        heard = b""
        while not heard.endswith(b"\n"):
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                self.process.kill()
                self.process.wait()
                raise too_late
            said = self.process.stdout.read(4096)
            if not said:
                raise _Ended(self.process.wait())
            heard += said
        answer: dict[str, Any] = json.loads(heard)
        return answer
