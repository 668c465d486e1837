"""`Services` of a single machine: what was asked for is recorded as documents `services/{name}` and
`executions/{id}`. The scaler starts instances by demand alone, so nothing acts on them: who asks, sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from secrets import token_hex

from shared.errors import AlreadyExists, Conflict, Malformed, Retryable
from shared.ports import Data, Document, Documents, Share, Traffic
from shared.shares import check_shares

_FIRST = Share("default", 100)  # the scaler's own revision, until somebody says otherwise
_NEW = "new"  # the version of a service that nobody has changed yet
_ATTEMPTS = 5


class LocalServices:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def start_job(
        self, job: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None, tasks: int = 0
    ) -> str:
        name = f"{job}-{token_hex(4)}"
        asked = {"job": job, "arguments": list(arguments), "environment": dict(environment or {}), "tasks": tasks}
        self._documents.create(f"executions/{name}", asked | {"createTime": datetime.now(UTC)})
        return name

    def traffic(self, service: str) -> Traffic:
        document = self._documents.get(_path(service))
        if document is None:
            return Traffic((_FIRST,), _NEW)
        return Traffic(tuple(Share(**share) for share in document.data["shares"]), document.version)

    def set_traffic(self, service: str, shares: Sequence[Share], version: str) -> None:
        check_shares(shares)
        document = self._documents.get(_path(service))
        if version != (document.version if document else _NEW):
            raise Conflict("the service has changed since it was read")
        self._write(service, document, {"shares": [asdict(share) for share in shares]})

    def set_min_instances(self, service: str, count: int) -> None:
        if count < 0:
            raise Malformed("a service cannot have fewer than no instances")
        for _ in range(_ATTEMPTS):
            try:
                self._write(service, self._documents.get(_path(service)), {"minInstances": count})
                return
            except Conflict:
                continue
        raise Retryable("the service is being changed by many")

    def _write(self, service: str, document: Document | None, change: Data) -> None:
        if document is not None:
            self._documents.replace(document.path, document.data | change, document.version)
            return
        try:
            self._documents.create(_path(service), {"shares": [asdict(_FIRST)], "minInstances": 0} | change)
        except AlreadyExists:
            raise Conflict("the service has changed since it was read") from None


def _path(service: str) -> str:
    return f"services/{service}"
