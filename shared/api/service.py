"""What every handler works with, and the one way to a caller's prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse

from shared import ids, strict
from shared.api.call import JSON_BYTES, Call
from shared.api.errors import HEADERS, TooLarge
from shared.api.instances import Instances
from shared.errors import Malformed, NotFound
from shared.identity import Identity
from shared.logs import Log
from shared.runtime import Runtime
from shared.store import Snapshot

UNKNOWN = "There is no such prediction."


@dataclass(frozen=True)
class Service:
    """Safe for threads; one per process."""

    runtime: Runtime
    identity: Identity
    log: Log
    instances: Instances = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "instances", Instances(self.runtime.documents))

    def owned(self, call: Call) -> Snapshot:
        """The prediction of the path. Unknown, deleted and somebody else's are the same `NotFound`."""
        snapshot = self.owned_or_deleted(call)
        if snapshot.prediction.deleted:
            raise NotFound(UNKNOWN)
        return snapshot

    def owned_or_deleted(self, call: Call) -> Snapshot:
        name = call.params["id"]
        snapshot = self.runtime.store.get(name) if ids.is_prediction_id(name) else None
        if snapshot is None or snapshot.prediction.owner_uid != call.uid:
            raise NotFound(UNKNOWN)
        return snapshot


def answer(document: Mapping[str, Any], code: int = 200) -> JSONResponse:
    return JSONResponse(document, code, headers=HEADERS)


def json_object(body: bytes) -> dict[str, Any]:
    """Raises `Malformed` unless the body is one JSON object of at most 64 KiB."""
    if len(body) > JSON_BYTES:
        raise TooLarge(f"A JSON body may have at most {JSON_BYTES // 1024} KiB.")
    try:
        document = strict.loads(body.decode())
    except (ValueError, RecursionError):
        raise Malformed("The body is not JSON.") from None
    if not isinstance(document, dict):
        raise Malformed("The body must be a JSON object.")
    return document
