"""Follow one prediction as server-sent events. Holds no thread while nothing happens."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from starlette.responses import Response, StreamingResponse

from shared.api.call import Call
from shared.api.errors import HEADERS
from shared.api.service import Service
from shared.api.threads import in_thread
from shared.api.view import prediction_view
from shared.errors import MasklineError
from shared.ports import Document
from shared.prediction import State, from_data, path_of

HEARTBEAT = 15.0  # s: proxies close connections that are silent for longer
_RECHECK = 1.0  # s between looks for an instance while a photo waits for one
_STREAM = {"x-accel-buffering": "no"}  # a proxy must pass each event on at once


async def watch(service: Service, call: Call) -> Response:
    await in_thread(service.owned, call)
    return StreamingResponse(
        _events(service, call.params["id"]), headers=HEADERS | _STREAM, media_type="text/event-stream"
    )


async def _events(service: Service, prediction_id: str) -> AsyncIterator[str]:
    """The prediction now, then whenever it looks different, until it has ended or is deleted."""
    last: dict[str, Any] = {}
    spoke = time.monotonic()
    news = _News(service, path_of(prediction_id))
    try:
        while (document := await news.next()) is not None:
            prediction = from_data(document.data)
            if prediction.deleted:
                return
            shown = await in_thread(prediction_view, service, prediction, document.update_time)
            if _lasting(shown) != last:
                last = _lasting(shown)
                spoke = time.monotonic()
                yield f"event: prediction\ndata: {json.dumps(shown, separators=(',', ':'))}\n\n"
            elif time.monotonic() - spoke >= HEARTBEAT:
                spoke = time.monotonic()
                yield ": still here\n\n"
            if prediction.state.terminal:
                return
    except MasklineError as error:  # the client connects again
        service.log.warning("watch_ended", prediction_id=prediction_id, message=str(error))
    finally:
        await news.close()


def _lasting(shown: dict[str, Any]) -> dict[str, Any]:
    """Without the mask's URL, which is signed anew each time."""
    return shown | {"result": {**shown.get("result", {}), "maskUrl": ""}}


class _News:
    """A document's changes, and the unchanged document again when it is time to look at the world around it."""

    def __init__(self, service: Service, path: str) -> None:
        self._changes = service.runtime.documents.watch(path)
        self._pending: asyncio.Task[Document | None] | None = None
        self._document: Document | None = None

    async def next(self) -> Document | None:
        """None: the document is gone."""
        if self._pending is None:
            self._pending = asyncio.create_task(self._change())
        done, _ = await asyncio.wait({self._pending}, timeout=self._patience())
        if done:
            self._document = self._pending.result()
            self._pending = None
        return self._document

    async def close(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            with suppress(asyncio.CancelledError, MasklineError):
                await self._pending
        close = getattr(self._changes, "aclose", None)
        if close is not None:
            await close()

    async def _change(self) -> Document | None:
        async for document in self._changes:
            return document
        return None

    def _patience(self) -> float | None:
        """Seconds; None: until the first answer."""
        if self._document is None:
            return None
        return _RECHECK if self._document.data["state"] == State.QUEUED else HEARTBEAT
