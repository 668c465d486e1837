"""From the catalog's outbox to the broker: in order, at least once. A notification leaves the outbox only when the
broker has answered that it has it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence

from local.client import Client, Unreachable
from local.objects.metrics import Metrics
from shared.adapters.local.catalog import Catalog
from shared.adapters.local.entries import Notification
from shared.api.threads import in_thread
from shared.logs import Log

_TOPIC = "uploads"
_POLL = 0.1  # s between two looks for what other processes wrote
_ROWS, _BYTES = 500, 1 << 20  # per request, well below what a publish request may have
_TIMEOUT = 10.0  # s for one request
_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # s between two attempts while the broker does not take them, doubling
_HEADERS = [(b"content-type", b"application/json")]


class Relay:
    def __init__(self, catalog: Catalog, broker_url: str, project: str, metrics: Metrics, log: Log) -> None:
        self._catalog = catalog
        self._client = Client(broker_url)
        self._path = f"/v1/projects/{project}/topics/{_TOPIC}:publish"
        self._metrics = metrics
        self._log = log
        self._woken = asyncio.Event()
        self._pause = 0.0  # 0: the broker took the last one

    def wake(self) -> None:
        """Something was written."""
        self._woken.set()

    async def run(self) -> None:
        try:
            while True:
                self._woken.clear()
                version = self._catalog.database.data_version()  # before the outbox is read: nothing falls in between
                await self._deliver(version)
        finally:
            self._client.close()

    async def _deliver(self, version: tuple[int, int]) -> None:
        try:
            await self._empty()
        except Unreachable as error:
            await self._rest(error)
        else:
            await self._changed(version)

    async def _empty(self) -> None:
        while rows := await in_thread(self._catalog.outbox, _ROWS):
            batch = batch_of(rows)
            await self._publish(batch)
            await in_thread(self._catalog.taken, batch[-1].id)
            self._metrics.relayed.inc(len(batch))
            self._took()

    async def _publish(self, batch: Sequence[Notification]) -> None:
        """Raises `Unreachable` unless the broker has them on disk."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                answer = await self._client.request("POST", self._path, _HEADERS, _request(batch))
        except TimeoutError:
            raise Unreachable("the broker does not answer") from None
        if answer.status != 200:
            raise Unreachable(f"the broker answers {answer.status}")

    async def _rest(self, error: Unreachable) -> None:
        if not self._pause:
            self._log.warning("broker_unreachable", message=str(error))
        self._pause = min(_LONGEST_PAUSE, self._pause * 2 or _PAUSE)
        await asyncio.sleep(self._pause)

    def _took(self) -> None:
        if self._pause:
            self._log("broker_back")
        self._pause = 0.0

    async def _changed(self, version: tuple[int, int]) -> None:
        """Returns when this process or another one has written."""
        while not self._woken.is_set() and self._catalog.database.data_version() == version:
            try:
                async with asyncio.timeout(_POLL):
                    await self._woken.wait()
            except TimeoutError:
                pass


def backlog(catalog: Catalog) -> int:
    with catalog.database.read() as connection:
        return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])


def batch_of(rows: Sequence[Notification]) -> Sequence[Notification]:
    """As many of the first rows as fit into one request, one at least."""
    size = 0
    for count, row in enumerate(rows):
        size += len(row.data)
        if size > _BYTES and count:
            return rows[:count]
    return rows


def _request(batch: Sequence[Notification]) -> bytes:
    messages = [{"data": base64.b64encode(n.data.encode()).decode(), "attributes": dict(n.attributes)} for n in batch]
    return json.dumps({"messages": messages}).encode()
