"""One inference process: started, asked until it is ready, told to end. Knows nothing of the others."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from local import child
from local.client import Client, Unreachable
from local.stack import url

KILL_SECONDS = 12.0  # s from SIGTERM to SIGKILL
_LOOK = 0.025  # s between two questions whether it is ready
_ASK_SECONDS = 2.0  # s for one answer
_TAIL = 4096  # bytes of stderr that are remembered
_LINGER = 1.0  # s that stderr may stay open after the end


async def start(argv: Sequence[str], port: int, log: Path) -> Process:
    """Raises `OSError`. It dies with this process."""
    output = log.open("ab", buffering=0)
    try:
        process = await asyncio.create_subprocess_exec(
            *child.command(argv), stdin=DEVNULL, stdout=output, stderr=PIPE, start_new_session=True
        )
    except OSError:
        output.close()
        raise
    return Process(process, port, output)


class Process:
    """Its output goes to the log; `last_words` is the last line that it wrote to stderr."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, output: FileIO) -> None:
        self.pid = process.pid
        self.port = port
        self.since = datetime.now(UTC).isoformat()
        self.client = Client(url(port))
        self._process = process
        self._tail = b""
        self._listening = asyncio.create_task(self._listen(output))

    @property
    def last_words(self) -> str:
        lines = self._tail.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    async def ready(self) -> None:
        """Returns when it takes pushes."""
        while not await self._is_ready():
            await asyncio.sleep(_LOOK)

    async def ended(self) -> int:
        """The exit status."""
        status = await self._process.wait()
        await asyncio.wait({self._listening}, timeout=_LINGER)
        self._listening.cancel()
        self.client.close()
        return status

    def stop(self, seconds: float = KILL_SECONDS) -> None:
        """SIGTERM, and SIGKILL if it is still there after `seconds`."""
        self.signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(seconds, self.signal, signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def _is_ready(self) -> bool:
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                return (await self.client.request("GET", "/readyz", (), b"")).status == 200
        except (Unreachable, TimeoutError):
            return False

    async def _listen(self, output: FileIO) -> None:
        assert self._process.stderr is not None
        with output:
            while said := await self._process.stderr.read(1 << 16):
                self._tail = (self._tail + said)[-_TAIL:]
                output.write(said)
