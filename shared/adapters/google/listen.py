"""Watching a document through Firestore's Listen stream: no polling, no thread.

One stream for each watcher, all multiplexed over the event loop's one connection. Google's servers take 100 streams a
connection; `pipeline.yaml` gives an instance of the API fewer requests than that, so none waits. Polling instead would
bill a read for every look; the library's own `on_snapshot` holds two threads for each watcher.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from typing import Any

from shared.adapters.google.channels import async_channel
from shared.adapters.google.database import Database
from shared.adapters.google.errors import pause, translated
from shared.adapters.google.libraries import load
from shared.errors import Retryable
from shared.ports import Document

_ATTEMPTS = 8  # streams in a row that end without news before the watcher is told
_TARGET = 1
_MESSAGES = "google.cloud.firestore_v1.types.firestore"
_CALLS = "google.cloud.firestore_v1.services.firestore"


class Listener:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()

    async def watch(self, path: str) -> AsyncIterator[Document | None]:
        """The document now, then after each change. Streams end now and then: the next one begins with the document
        as it is, which is passed on only if it is news."""
        name = self._database.document(path)
        told: str | None = "nothing yet"
        failures = 0
        while True:
            try:
                async for document in self._listen(name):
                    failures = 0
                    version = None if document is None else document.version
                    if version != told:
                        told = version
                        yield document
            except Exception as error:
                problem = translated("Firestore", error)
                if problem is None:
                    raise
                failures += 1
                if not isinstance(problem, Retryable) or failures == _ATTEMPTS:
                    raise problem from error
            await asyncio.sleep(pause(failures + 1))

    async def _listen(self, name: str) -> AsyncIterator[Document | None]:
        """The document at each consistent moment: the server ends every group of changes with a read time."""
        found: Any = None
        stream = await self._client().listen(self._requests(name), metadata=self._database.metadata)
        try:
            read = load(_MESSAGES).ListenResponse.pb
            async for answer in stream:
                news = read(answer)
                kind = news.WhichOneof("response_type")
                if kind == "document_change":
                    found = news.document_change.document
                elif kind in ("document_delete", "document_remove"):
                    found = None
                elif kind == "target_change" and _consistent(news.target_change):
                    now = news.target_change.read_time
                    yield None if found is None else self._database.read(found, now)
        finally:
            stream.cancel()

    async def _requests(self, name: str) -> AsyncIterator[Any]:
        target = {"documents": {"documents": [name]}, "target_id": _TARGET}
        yield load(_MESSAGES).ListenRequest(database=self._database.name, add_target=target)
        await asyncio.Event().wait()  # the stream lasts as long as it is open on our side

    def _client(self) -> Any:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = self._make_client()
        return client

    def _make_client(self) -> Any:
        client = load(f"{_CALLS}.async_client").FirestoreAsyncClient
        if not self._database.host:
            return client()
        transport = load(f"{_CALLS}.transports.grpc_asyncio").FirestoreGrpcAsyncIOTransport
        return client(transport=transport(channel=async_channel(self._database.host)))


def _consistent(change: Any) -> bool:
    return change.target_change_type == 0 and not change.target_ids and change.HasField("read_time")  # NO_CHANGE
