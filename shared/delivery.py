"""The claim/commit protocol: every photo ends in exactly one visible outcome (ADR 0001).

Pure decisions first (`decide_*`: what the document says → what to do), then the four effects that apply them with
compare-and-set: `claim`, `commit`, `give_back`, `abandon`. The broken variants of this protocol, each with the trace
that breaks it, are in the ADR; the order *object before document, ack after commit* is what callers must keep.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from shared.prediction import Phase, Prediction, Reason, State
from shared.store import PredictionStore, Snapshot

POISON_MESSAGE = "Processing this photo failed repeatedly, so it was set aside."
EXPIRED_MESSAGE = "The photo could not be processed in time."


class Verdict(Enum):
    """What a delivery of a segment message means, given the document."""

    WORK = "work"  # mine: claim it
    ALONE = "alone"  # mine, but it is the last chance: claim it when this process holds no other claim
    BUSY = "busy"  # a live lease: nack, come back when it is over
    DUPLICATE = "duplicate"  # terminal, superseded or unknown: ack
    POISON = "poison"  # claims exhausted: record FAILED, ack
    LATE = "late"  # past its deadline: record EXPIRED, ack


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to commit one prediction, until `lease_expire_time`."""

    prediction: Prediction
    fence: int
    lease_expire_time: datetime
    last_chance: bool = False  # one more failure is POISON
    seen: Snapshot | None = None  # as the claim left it


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no claim. `retry_after` is in seconds, for BUSY."""

    verdict: Verdict
    retry_after: float = 0.0


def decide_claim(prediction: Prediction | None, generation: int, now: datetime, max_claims: int) -> Verdict:
    if prediction is None or prediction.state.terminal or generation != prediction.generation:
        return Verdict.DUPLICATE
    if prediction.state is State.AWAITING_UPLOAD:
        return Verdict.DUPLICATE  # a forged or far too early message: accept has not queued it
    lease = prediction.lease_expire_time
    if prediction.state is State.RUNNING and lease is not None and now < lease:
        return Verdict.BUSY
    if prediction.charged_claims >= max_claims:
        return Verdict.POISON
    return Verdict.LATE if now >= prediction.deadline else Verdict.WORK


def claim(
    store: PredictionStore,
    prediction_id: str,
    generation: int,
    *,
    lease: timedelta,
    max_claims: int,
    model: dict[str, Any],
    alone: bool = True,
) -> Claim | Refusal:
    """Take the prediction for `lease`, or say why not. Deliveries may repeat, race and arrive late.

    `alone`: the caller holds no other claim and takes none until this one has ended. Without that there is no last
    chance: if this photo kills the process, the others are charged, too; if another one does, this one would be POISON.
    """
    verdict = Verdict.DUPLICATE
    retry_after = 0.0

    def step(prediction: Prediction, now: datetime) -> Prediction | None:
        nonlocal verdict, retry_after
        verdict = decide_claim(prediction, generation, now, max_claims)
        if verdict is Verdict.WORK and not alone and prediction.charged_claims + 1 >= max_claims:
            verdict = Verdict.ALONE
        if verdict is Verdict.POISON:
            return prediction.failed(Reason.POISON, POISON_MESSAGE)
        if verdict is Verdict.LATE:
            return prediction.failed(Reason.DEADLINE_EXCEEDED, EXPIRED_MESSAGE, State.EXPIRED)
        if verdict is Verdict.BUSY and prediction.lease_expire_time is not None:
            retry_after = (prediction.lease_expire_time - now).total_seconds()
        if verdict is not Verdict.WORK:
            return None
        return _claimed(prediction, now, lease, model)

    seen = store.changed(prediction_id, step)
    taken = None if seen is None else seen.prediction
    if verdict is not Verdict.WORK or taken is None or taken.lease_expire_time is None:
        return Refusal(verdict, retry_after)
    return Claim(taken, taken.fence, taken.lease_expire_time, taken.charged_claims >= max_claims, seen)


def _claimed(prediction: Prediction, now: datetime, lease: timedelta, model: dict[str, Any]) -> Prediction:
    return prediction.moved(
        State.RUNNING,
        Phase.DECODING,
        claims=prediction.claims + 1,
        fence=prediction.fence + 1,
        lease_expire_time=now + lease,
        model=dict(model) | {"arm": prediction.arm},
    )


def holds(prediction: Prediction, fence: int) -> bool:
    """Only the newest claim of an unfinished prediction may commit."""
    return prediction.state is State.RUNNING and prediction.fence == fence


def commit(store: PredictionStore, held: Claim, outcome: Prediction) -> bool:
    """Write the outcome (`outcome` = the claimed prediction, ended) if the fence is still mine.

    False means fenced: somebody else owns the prediction now; delete what you stored. Safe to repeat after a timeout:
    a commit of ours that did happen is recognised and answers True.
    """
    won = False

    def step(prediction: Prediction, now: datetime) -> Prediction | None:
        nonlocal won
        won = prediction.fence == held.fence and prediction.state is outcome.state
        if not holds(prediction, held.fence):
            return None
        won = True
        return outcome

    there = store.update(held.prediction.id, step, held.seen)
    return won and there is not None


def give_back(store: PredictionStore, held: Claim) -> bool:
    """On shutdown: stay RUNNING with the lease over now, and do not count the claim. True: the caller republishes."""
    done = False

    def step(prediction: Prediction, now: datetime) -> Prediction | None:
        nonlocal done
        done = holds(prediction, held.fence)
        if not done or prediction.lease_expire_time != held.lease_expire_time:
            return None  # not mine any more, or given back already: the answer got lost
        return replace(prediction, phase=Phase.RETRYING, lease_expire_time=now, given_back=prediction.given_back + 1)

    store.update(held.prediction.id, step)
    return done


def abandon(store: PredictionStore, held: Claim) -> None:
    """After a retryable failure: the lease ends now and the claim counts."""

    def step(prediction: Prediction, now: datetime) -> Prediction | None:
        if not holds(prediction, held.fence):
            return None
        return replace(prediction, phase=Phase.RETRYING, lease_expire_time=now)

    store.update(held.prediction.id, step)
