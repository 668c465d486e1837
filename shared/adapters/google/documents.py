"""`Documents` on Firestore: one RPC a call, and every guarded write is a compare-and-set on the update time.

No transactions: under contention they are slow in production and collapse on the emulator, and nothing here changes
two documents at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from shared.adapters.google import queries, values
from shared.adapters.google.database import REWRITTEN, Database, nanoseconds, set_timestamp, split_version
from shared.adapters.google.errors import retried
from shared.adapters.google.lazily import Lazily
from shared.adapters.google.libraries import load
from shared.adapters.google.rpcs import Rpcs
from shared.errors import Conflict, NotFound
from shared.ports import Data, Document, Where

if TYPE_CHECKING:
    from shared.adapters.google.listen import Listener

SERVICE = "Firestore"
_MESSAGES = "google.cloud.firestore_v1.types"
_TRANSPORTS = "google.cloud.firestore_v1.services.firestore.transports"


class FirestoreDocuments:
    """`host`: an emulator's `host:port`; empty is Google's own, with the process's credentials. Safe for threads."""

    def __init__(self, project: str, host: str = "", database: str = "(default)") -> None:
        self._database = Database(project, database, host)
        self._rpcs = Lazily(self._make_rpcs)

    def get(self, path: str) -> Document | None:
        # GetDocument would not tell the read time, which is the clock that leases are compared with.
        messages = load(f"{_MESSAGES}.firestore")
        request = messages.BatchGetDocumentsRequest(
            database=self._database.name, documents=[self._database.document(path)]
        )
        [answer] = self._rows("batch_get_documents", request, {"database": request.database})
        return self._database.read(answer.found, answer.read_time) if answer.HasField("found") else None

    def create(self, path: str, data: Data) -> Document:
        write = self._new_write(path, data)
        write.current_document.exists = False
        answer = self._commit(write)
        write.update.create_time.CopyFrom(answer.commit_time)
        return self._as_written(write, answer)

    def replace(self, path: str, data: Data, version: str) -> Document:
        write = self._new_write(path, data)
        updated, created = split_version(version)
        set_timestamp(write.current_document.update_time, updated)
        answer = self._commit(write)
        if nanoseconds(answer.write_results[0].update_time) == updated:
            # Firestore skips a write that changes nothing, and the version would stay: change something.
            write.update.fields[REWRITTEN].boolean_value = True
            answer = self._commit(write)
        set_timestamp(write.update.create_time, created)
        return self._as_written(write, answer)

    def delete(self, path: str, version: str | None = None) -> None:
        write = load(f"{_MESSAGES}.write").Write.pb()(delete=self._database.document(path))
        if version is not None:
            set_timestamp(write.current_document.update_time, split_version(version)[0])
        self._commit(write)

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[tuple[str, Literal["asc", "desc"]]] = (),
        limit: int = 100,
        after: Sequence[Any] | None = None,
    ) -> list[Document]:
        parent, collection_id = self._database.collection(collection)
        query = load(f"{_MESSAGES}.firestore").RunQueryRequest
        request = query.pb()(parent=parent)
        queries.fill(request.structured_query, collection_id, where, order_by, limit, after)
        if after is not None:
            last = self._database.document(f"{collection}/{after[-1]}")
            request.structured_query.start_at.values.add().reference_value = last
        rows = self._rows("run_query", query.wrap(request), {"parent": parent})
        return [self._database.read(row.document, row.read_time) for row in rows if row.HasField("document")]

    def watch(self, path: str) -> AsyncIterator[Document | None]:
        return self._listener.watch(path)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._rpcs.drop(Rpcs.close)

    @cached_property
    def _listener(self) -> Listener:
        from shared.adapters.google.listen import Listener  # and asyncio, which nobody else needs

        return Listener(self._database)

    def _new_write(self, path: str, data: Data) -> Any:
        write = load(f"{_MESSAGES}.write").Write.pb()()
        write.update.name = self._database.document(path)
        values.write(data, write.update.fields)
        return write

    def _commit(self, write: Any) -> Any:
        messages = load(f"{_MESSAGES}.firestore")
        commits = messages.CommitRequest
        request = commits.wrap(commits.pb()(database=self._database.name, writes=[write]))

        def commit() -> Any:
            return self._rpcs()("commit", request, {"database": request.database}, self._database.metadata)

        try:
            return messages.CommitResponse.pb(retried(SERVICE, commit))
        except NotFound:  # what a precondition on the update time says of a document that is gone
            raise Conflict("the document has been deleted since it was read") from None

    def _as_written(self, write: Any, answer: Any) -> Document:
        write.update.update_time.CopyFrom(answer.write_results[0].update_time)
        return self._database.read(write.update, answer.commit_time)

    def _rows(self, rpc: str, request: Any, about: Mapping[str, str]) -> list[Any]:
        """All answers of a streaming RPC, as protobuf messages."""

        def stream() -> list[Any]:
            answers = list(self._rpcs()(rpc, request, about, self._database.metadata))
            return [type(answer).pb(answer) for answer in answers]

        return retried(SERVICE, stream)

    def _make_rpcs(self) -> Rpcs:
        load(f"{_MESSAGES}.write")  # first: the transport would load those of every RPC
        return Rpcs(_TRANSPORTS, "Firestore", self._database.host)
