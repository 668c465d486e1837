"""Our network behind FastAPI: a sync endpoint, which FastAPI runs in its thread pool, and uvicorn's worker processes.

Imported by name: the peer's venv has FastAPI, this project's has not.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peer_app import READY, Segmenter, options


def make() -> Any:
    """The app of one worker."""
    fastapi = importlib.import_module("fastapi")
    segmenter = Segmenter(options())
    print(READY, flush=True)
    body = fastapi.Body(...)

    def predict(data: Any = body) -> Any:
        try:
            return fastapi.Response(segmenter(data), media_type="image/png")
        except Exception as error:
            raise fastapi.HTTPException(400, "not a photo") from error

    predict.__annotations__["data"] = bytes
    app = fastapi.FastAPI(lifespan=_pool)
    app.post("/predict", response_model=None)(predict)
    return app


@asynccontextmanager
async def _pool(app: Any) -> AsyncIterator[None]:
    """The size of the thread pool can only be set where the event loop runs."""
    if options().at_once:
        from anyio.to_thread import current_default_thread_limiter

        current_default_thread_limiter().total_tokens = options().at_once
    yield


def main() -> None:
    given = options()
    importlib.import_module("uvicorn").run(
        "benchmarks.peer_fastapi:make", factory=True, port=given.port, workers=given.workers, log_level="warning",
        timeout_worker_healthcheck=60,  # a worker that imports torch on a busy machine is not dead
    )  # fmt: skip


if __name__ == "__main__":
    main()
