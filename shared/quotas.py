"""What one user may ask for: so many photos a second, so many and so much a day, so many unfinished (ADR 0007).

Each user has one document, changed by compare-and-set: the limits hold over all processes, and no document is hot, for
nobody shares one. Photos of one user that wait in the same process are charged together, with one write. The decision
is pure (`decide`); `charge` applies it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any
from weakref import WeakValueDictionary

from shared import ids
from shared.errors import Conflict, OverQuota, Retryable
from shared.ports import Document
from shared.prediction import COLLECTION as PREDICTIONS
from shared.prediction import UNFINISHED
from shared.runtime import Runtime
from shared.settings import Settings

COLLECTION = "quotas"
_ATTEMPTS = 20  # losers of a race re-read and decide again; each loss means that somebody else was charged
_IN_FLIGHT = timedelta(seconds=10)  # what was charged may take so long to become a prediction
_KEPT = timedelta(days=2)  # the document, after its last change: a day's count must outlive the day
_RECOUNT_PAUSE = 1.0  # s between two counts of a user's unfinished photos that only find them too many
_WAIT_FOR_ONE = 5.0  # s until one of the unfinished photos may have ended
_PAGE = 200
_CONTENDED = "Too many requests of yours at once; please try again."


@dataclass(frozen=True, slots=True)
class Charge:
    """One photo of `size` bytes. Those that were `announced` count towards the rate and the unfinished ones, too."""

    id: str
    size: int
    announced: bool = True


@dataclass(frozen=True, slots=True)
class Usage:
    """What a user had until `time`. `tokens`: photos that may come at once; `unfinished`: id → when it was charged."""

    time: datetime
    tokens: float
    photos: int = 0
    size: int = 0  # bytes
    unfinished: Mapping[str, datetime] = field(default_factory=dict)


def decide(usage: Usage, wanted: Charge, limits: Settings) -> Usage | OverQuota:
    """The usage with this photo in it, or why not. A photo that is already in it costs nothing."""
    if wanted.id in usage.unfinished:
        return usage
    if usage.photos + 1 > limits.quota_daily_photos:
        return OverQuota("photosPerDay", limits.quota_daily_photos, _rest_of_day(usage.time))
    if usage.size + wanted.size > limits.quota_daily_bytes:
        return OverQuota("bytesPerDay", limits.quota_daily_bytes, _rest_of_day(usage.time))
    counted = replace(usage, photos=usage.photos + 1, size=usage.size + wanted.size)
    if not wanted.announced:
        return counted
    if len(usage.unfinished) + 1 > limits.quota_unfinished:
        return OverQuota("unfinishedPhotos", limits.quota_unfinished, _WAIT_FOR_ONE)
    if usage.tokens < 1:
        return OverQuota("photosPerSecond", limits.quota_per_second, (1 - usage.tokens) / limits.quota_per_second)
    return replace(counted, tokens=usage.tokens - 1, unfinished={**usage.unfinished, wanted.id: usage.time})


def at(usage: Usage | None, now: datetime, limits: Settings) -> Usage:
    """The usage as time has passed: tokens come back, and a new day (UTC) counts anew. Clocks may differ a little."""
    if usage is None:
        return Usage(now, limits.quota_burst)
    now = max(now, usage.time)
    back = (now - usage.time).total_seconds() * limits.quota_per_second
    today = replace(usage, time=now, tokens=min(limits.quota_burst, usage.tokens + back))
    return today if now.date() == usage.time.date() else replace(today, photos=0, size=0)


def _rest_of_day(now: datetime) -> float:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return ceil((midnight - now).total_seconds())


def charge(runtime: Runtime, uid: str, wanted: Charge) -> None:
    """Count one photo of this user, durably. Raises `OverQuota`, or `Retryable` if the store will not have it."""
    if not runtime.settings.quotas:
        return
    line = _line_of(runtime, uid)
    mine = _Waiting(wanted)
    line.waiting.append(mine)
    with line.turn:
        if not mine.done:
            _serve(runtime, uid, [line.waiting.popleft() for _ in range(len(line.waiting))])
    if mine.refused is not None:
        raise mine.refused


def forget(runtime: Runtime, now: datetime) -> None:
    """Delete what nobody was charged to for days."""
    for document in runtime.documents.query(COLLECTION, [("expireTime", "<=", now)], limit=_PAGE):
        try:
            runtime.documents.delete(document.path, document.version)
        except Conflict:
            continue  # in use again


# -- one process: who waits for the same document goes in one write


@dataclass(slots=True)
class _Waiting:
    wanted: Charge
    done: bool = False
    refused: Exception | None = None


@dataclass(slots=True, weakref_slot=True)
class _Line:
    turn: threading.Lock = field(default_factory=threading.Lock)
    waiting: deque[_Waiting] = field(default_factory=deque)


_lines: WeakValueDictionary[tuple[int, str], _Line] = WeakValueDictionary()  # gone when nobody stands in it
_lines_lock = threading.Lock()


def _line_of(runtime: Runtime, uid: str) -> _Line:
    key = (id(runtime.documents), uid)
    with _lines_lock:
        line = _lines.get(key)
        if line is None:
            line = _lines[key] = _Line()
        return line


def _serve(runtime: Runtime, uid: str, batch: Sequence[_Waiting]) -> None:
    answers: Sequence[Exception | None]
    try:
        answers = _charged(runtime, uid, [one.wanted for one in batch])
    except Exception as error:
        answers = [error] * len(batch)
    for one, answer in zip(batch, answers, strict=True):
        one.refused, one.done = answer, True


# -- the document


def path_of(uid: str) -> str:
    """Any uid makes a name, and the document tells nobody whose it is."""
    return f"{COLLECTION}/{ids.user_digest(uid)}"


def _charged(runtime: Runtime, uid: str, batch: Sequence[Charge]) -> list[OverQuota | None]:
    """For each photo: None, or why not. One write, and none if all are refused."""
    for _ in range(_ATTEMPTS):
        document = runtime.documents.get(path_of(uid))
        usage = at(*_read(document), runtime.settings)
        usage = _recounted(runtime, uid, usage, batch)
        after, answers = _together(usage, batch, runtime.settings)
        try:
            if after != usage:
                _write(runtime, uid, document, after)
            return answers
        except Conflict:
            continue
    raise Retryable(_CONTENDED)


def _together(usage: Usage, batch: Sequence[Charge], limits: Settings) -> tuple[Usage, list[OverQuota | None]]:
    answers: list[OverQuota | None] = []
    for wanted in batch:
        decided = decide(usage, wanted, limits)
        answers.append(decided if isinstance(decided, OverQuota) else None)
        usage = decided if isinstance(decided, Usage) else usage
    return usage, answers


_counted: dict[str, float] = {}  # user → when their unfinished photos were last counted, s


def _recounted(runtime: Runtime, uid: str, usage: Usage, batch: Sequence[Charge]) -> Usage:
    """Nobody tells this document that a photo has ended: it asks, but only when the limit seems to be reached."""
    limit = runtime.settings.quota_unfinished
    full = len(usage.unfinished) + sum(wanted.announced for wanted in batch) > limit
    now = time.monotonic()
    if not full or now - _counted.get(uid, float("-inf")) < _RECOUNT_PAUSE:
        return usage
    if len(_counted) > 1000:
        _counted.clear()
    _counted[uid] = now
    states = [state.value for state in UNFINISHED]
    rows = runtime.documents.query(PREDICTIONS, [("ownerUid", "==", uid), ("state", "in", states)], limit=limit)
    if len(rows) >= limit:
        return usage
    going_on = {row.id for row in rows}
    kept = {
        name: since for name, since in usage.unfinished.items() if name in going_on or usage.time - since < _IN_FLIGHT
    }
    return replace(usage, unfinished=kept)


def _read(document: Document | None) -> tuple[Usage | None, datetime]:
    """What is written, and now, by the store's clock if it tells."""
    if document is None:
        return None, datetime.now(UTC)
    data = document.data
    usage = Usage(data["time"], data["tokens"], data["photos"], data["bytes"], data["unfinished"])
    return usage, document.read_time


def _write(runtime: Runtime, uid: str, document: Document | None, usage: Usage) -> None:
    data: dict[str, Any] = {
        "time": usage.time,
        "tokens": usage.tokens,
        "photos": usage.photos,
        "bytes": usage.size,
        "unfinished": dict(usage.unfinished),
        "expireTime": usage.time + _KEPT,
    }
    if document is None:
        runtime.documents.create(path_of(uid), data)
    else:
        runtime.documents.replace(path_of(uid), data, document.version)
