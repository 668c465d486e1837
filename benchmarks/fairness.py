"""`python -m benchmarks.fairness`: how long one photo of a second user waits behind a first user's 2,000.

The real broker on a real disk, pushing to an instance of this process that takes a fixed time per photo: no model, so
that only the order counts. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.report import finish
from local import serving
from local.broker.broker import Broker
from local.broker.filters import compile_filter
from local.broker.queue import Policy
from local.broker.routes import Route
from local.broker.store import Store
from shared.logs import Log

PLACES = 8  # photos that the instance works on at once
SECONDS = 0.02  # s per photo
_POLICY = Policy(60, 0.1, 1, 100, PLACES, 3600)


class Instance:
    """Answers each push after `SECONDS`, and remembers when it had which message."""

    def __init__(self) -> None:
        self.ended: dict[str, float] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        await asyncio.sleep(SECONDS)
        self.ended[json.loads(body)["message"]["messageId"]] = time.monotonic()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def _running(folder: Path, instance: Instance) -> AsyncIterator[Broker]:
    import uvicorn

    listener = serving.bind(0)
    config = uvicorn.Config(instance, http="httptools", lifespan="off", access_log=False, log_config=None)
    server = uvicorn.Server(config)
    serve = asyncio.create_task(server.serve(sockets=[listener]))
    route = Route(
        "work", "segment", f"http://127.0.0.1:{listener.getsockname()[1]}", "/push", compile_filter(""), "dead", _POLICY
    )
    store = Store(folder / "broker.db")
    broker = Broker("p", ("segment", "dead"), [route], store, Log("broker", "ERROR"))
    writer = asyncio.create_task(store.run())
    broker.start()
    try:
        yield broker
    finally:
        await broker.stop()
        store.close()
        await writer
        server.should_exit = True
        await serve


async def _waits(photos: int, turns: bool, folder: Path) -> list[float]:
    """Seconds that single photos of a second user take, one after another, behind `photos` of the first."""
    instance = Instance()
    async with _running(folder, instance) as broker:
        if photos:
            await broker.publish("segment", [(b"x", {"user": "ana"})] * photos)
        waits = []
        for _ in range(5):
            await asyncio.sleep(SECONDS)
            began = time.monotonic()
            [name] = await broker.publish("segment", [(b"x", {"user": "bob" if turns else "ana"})])
            while name not in instance.ended:
                await asyncio.sleep(0.002)
            waits.append(instance.ended[name] - began)
            if not turns:
                break  # the first one has waited for everything
        return waits


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness")
    parser.add_argument("--photos", type=int, default=2000)
    photos = parser.parse_args().photos
    rows = {"alone": (0, True), "in turns": (photos, True), "first in, first out": (photos, False)}
    waits = {}
    for name, (waiting, turns) in rows.items():
        with tempfile.TemporaryDirectory() as folder:
            waits[name] = statistics.median(asyncio.run(_waits(waiting, turns, Path(folder))))
        print(f"{name:20} {waits[name]:8.3f} s")
    seconds = {name.replace(" ", "_").replace(",", ""): round(wait, 3) for name, wait in waits.items()}
    finish("fairness", {"photos": photos, "seconds": seconds})


if __name__ == "__main__":
    main()
