"""Our network behind Ray Serve: a proxy, and a replica process for each worker, which decodes and encodes in threads
and runs the network in batches that it forms itself.

Imported by name: the peer's venv has Ray, this project's has not.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
from argparse import Namespace
from typing import Any

from benchmarks.peer_app import READY, Segmenter, options

STORE = 100 << 20  # bytes of shared memory, of which nothing is used here


class Replica:
    def __init__(self) -> None:
        self.segmenter = Segmenter(options())

    async def classes(self, photos: list[Any]) -> list[Any]:
        return await asyncio.to_thread(self.segmenter.forward, photos)

    async def __call__(self, request: Any) -> Any:
        response = importlib.import_module("starlette.responses").Response
        try:
            photo = await asyncio.to_thread(self.segmenter.before, await request.body())
        except Exception:
            return response("not a photo", 400)
        found = await self.classes(photo)  # one: Ray makes a batch of many callers'
        return response(await asyncio.to_thread(self.segmenter.after, photo, found), media_type="image/png")


def application(serve: Any, given: Namespace) -> Any:
    batched = serve.batch(max_batch_size=given.batch, batch_wait_timeout_s=given.wait_ms / 1000)
    Replica.classes = batched(Replica.classes)  # type: ignore[method-assign]
    # What runs is limited by the batch; the rest waits in the replica, as in other servers, not in the proxy.
    return serve.deployment(num_replicas=given.workers, max_ongoing_requests=100)(Replica).bind()


def main() -> None:
    given = options()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray, serve = importlib.import_module("ray"), importlib.import_module("ray.serve")
    ray.init(num_cpus=given.workers, include_dashboard=False, object_store_memory=STORE, logging_level="warning")
    serve.start(http_options={"host": "127.0.0.1", "port": given.port})
    serve.run(application(serve, given), route_prefix="/predict")  # returns when all replicas are ready
    print(*[READY] * given.workers, sep="\n", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
