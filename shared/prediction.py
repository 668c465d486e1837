"""A prediction: the one document that says what became of a photo.

States move forward only, and terminal states never change (`FORWARD`, drawn in docs/architecture). The document is
stored as `to_data()` and read with `from_data()`; field names are the contract's, in lowerCamelCase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

COLLECTION = "predictions"


class State(StrEnum):
    AWAITING_UPLOAD = "AWAITING_UPLOAD"  # announced, no photo yet
    QUEUED = "QUEUED"  # photo accepted, nobody works on it
    RUNNING = "RUNNING"  # claimed under a lease
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"  # our fault, or a photo that kills every worker
    REJECTED = "REJECTED"  # the photo cannot be segmented
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"  # the deadline passed first

    @property
    def terminal(self) -> bool:
        return self not in FORWARD


FORWARD: Mapping[State, frozenset[State]] = {
    State.AWAITING_UPLOAD: frozenset(
        {State.QUEUED, State.REJECTED, State.SUCCEEDED, State.CANCELLED, State.EXPIRED, State.FAILED}
    ),
    State.QUEUED: frozenset({State.RUNNING, State.REJECTED, State.FAILED, State.CANCELLED, State.EXPIRED}),
    State.RUNNING: frozenset(
        {State.RUNNING, State.SUCCEEDED, State.REJECTED, State.FAILED, State.CANCELLED, State.EXPIRED}
    ),
}
UNFINISHED = tuple(FORWARD)


class Phase(StrEnum):
    """What a person would say is happening; finer than the state, never decides anything."""

    WAITING_FOR_UPLOAD = "waiting_for_upload"
    QUEUED = "queued"
    STARTING_INSTANCE = "starting_instance"
    RETRYING = "retrying"
    DECODING = "decoding"
    BATCHING = "batching"
    SEGMENTING = "segmenting"
    STORING = "storing"
    DONE = "done"


class Reason(StrEnum):
    """Why a prediction did not succeed: a closed list."""

    UNSUPPORTED_MEDIA = "UNSUPPORTED_MEDIA"
    TOO_LARGE = "TOO_LARGE"
    TOO_MANY_PIXELS = "TOO_MANY_PIXELS"
    BAD_DIMENSIONS = "BAD_DIMENSIONS"
    TOO_COMPLEX = "TOO_COMPLEX"
    CORRUPT_IMAGE = "CORRUPT_IMAGE"
    SOURCE_MISSING = "SOURCE_MISSING"
    POISON = "POISON"
    MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    INTERNAL = "INTERNAL"


class Lane(StrEnum):
    INTERACTIVE = "interactive"
    BULK = "bulk"


STABLE = "stable"  # the arm that serves until an experiment says otherwise


@dataclass(frozen=True, slots=True)
class Prediction:
    """One generation of one photo and its outcome. Times are timezone-aware; `deadline` is when it must have ended,
    `expire_time` when the record is deleted."""

    id: str
    owner_uid: str
    state: State
    phase: Phase
    bucket: str
    object: str
    deadline: datetime
    expire_time: datetime
    create_time: datetime
    generation: int = 0  # 0 until the upload is known
    lane: Lane = Lane.INTERACTIVE
    arm: str = STABLE
    claims: int = 0  # times a worker took it
    given_back: int = 0  # claims returned unharmed on shutdown: they do not count towards poison
    fence: int = 0  # grows with every claim; only its holder may commit
    lease_expire_time: datetime | None = None
    publish_time: datetime | None = None  # last time it was put on the queue
    request_id: str = ""
    outputs: tuple[str, ...] = ()
    input: Mapping[str, Any] = field(default_factory=dict)  # contentType width height sha256 sizeBytes crc32c
    model: Mapping[str, Any] = field(default_factory=dict)  # name version arm
    result: Mapping[str, Any] = field(default_factory=dict)  # bucket object generation sha256 … outputs
    error: Mapping[str, Any] = field(default_factory=dict)  # reason message
    timings: Mapping[str, Any] = field(default_factory=dict)  # ms
    cache: Mapping[str, Any] = field(default_factory=dict)
    trace: str = ""  # W3C traceparent
    deleted: bool = False  # a tombstone: keeps settle from accepting its object again

    @property
    def path(self) -> str:
        return path_of(self.id)

    @property
    def charged_claims(self) -> int:
        """Claims that count towards poison."""
        return self.claims - self.given_back

    def moved(self, state: State, phase: Phase, **changes: Any) -> Prediction:
        """A copy in `state`. Raises `ValueError` for a step that the state machine does not have."""
        if state not in FORWARD.get(self.state, frozenset()):
            raise ValueError(f"no step {self.state} → {state}")
        return replace(self, state=state, phase=phase, **changes)

    def ended(self, state: State, **changes: Any) -> Prediction:
        return self.moved(state, Phase.DONE, lease_expire_time=None, **changes)

    def failed(self, reason: Reason, message: str, state: State = State.FAILED) -> Prediction:
        return self.ended(state, error={"reason": reason.value, "message": message})


def path_of(prediction_id: str) -> str:
    return f"{COLLECTION}/{prediction_id}"


def to_data(prediction: Prediction) -> dict[str, Any]:
    return {key: _plain(getattr(prediction, name)) for name, key in _KEYS}


def from_data(data: Mapping[str, Any]) -> Prediction:
    """Unknown fields are ignored, missing ones take their defaults: older and newer writers may coexist."""
    known = {name: data[key] for name, key in _KEYS if key in data}
    known["state"] = State(known["state"])
    known["phase"] = Phase(known["phase"])
    known["lane"] = Lane(known.get("lane", Lane.INTERACTIVE))
    known["outputs"] = tuple(known.get("outputs", ()))
    return Prediction(**known)


_AS_THEY_ARE = {str, int, float, bool, type(None), datetime}


def _plain(value: Any) -> Any:
    if type(value) in _AS_THEY_ARE:  # nearly all of them
        return value
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


_KEYS = tuple((one.name, _camel(one.name)) for one in fields(Prediction))  # field → what it is called in the document
