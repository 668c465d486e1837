"""`python -m inference_container.decoder FD`: one decoder in a process of its own; `sandbox` starts it and talks to it.

The shared memory FD holds the photo, afterwards its pixels; stdin and stdout carry one JSON line each per photo. Once
it is ready this process can open nothing, no file and no socket, write no file, and take only so much memory and time.
"""

from __future__ import annotations

import json
import mmap
import resource
import signal
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from inference_container.decode import decode
from shared.errors import Rejected
from shared.prediction import Reason

MEMORY = 1 << 30  # bytes beyond those held when it is ready; the dearest photo within the limits takes 0.8 GB
CPU_SECONDS = 5  # per photo; the dearest within the limits takes 1.5
_TOO_MUCH = "The photo takes too much memory to decode."


def main() -> None:
    memory = mmap.mmap(int(sys.argv[1]), 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # its parent says when: by closing stdin
    _warm_up()
    _lock_in()
    _say({})
    for line in sys.stdin.buffer:
        spent = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_SECONDS, resource.RLIM_INFINITY))
        _say(_answer(memory, **json.loads(line)))


def _answer(memory: mmap.mmap, size: int, side: int) -> dict[str, Any]:
    try:
        photo = decode(memory[:size], side)
    except Rejected as error:
        return {"reason": error.reason, "message": str(error)}
    except MemoryError:
        return {"reason": Reason.TOO_COMPLEX, "message": _TOO_MUCH}
    memory[: photo.pixels.nbytes] = photo.pixels.tobytes()
    about = {"width": photo.width, "height": photo.height, "content_type": photo.content_type}
    return {"shape": photo.pixels.shape, **about}


def _warm_up() -> None:
    """Decoders import late; afterwards nothing can be imported any more."""
    for kind in ("JPEG", "PNG", "WEBP"):
        out = BytesIO()
        Image.new("RGBA" if kind == "PNG" else "RGB", (16, 16)).save(out, kind)
        decode(out.getvalue(), 32)


def _lock_in() -> None:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = (
        (resource.RLIMIT_AS, held + MEMORY),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    )
    for what, most in limits:
        resource.setrlimit(what, (most, most))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
