"""Claim, commit, give back, abandon; and each trace of ADR 0001 that breaks a shorter protocol, which must not break
this one. `test_delivery_machine.py` explores what nobody thought of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared import pipeline
from shared.delivery import POISON_MESSAGE, Refusal, Verdict, decide_claim
from shared.errors import Conflict, Retryable
from shared.prediction import Phase, Prediction, State
from tests.domain import Worker, World


def refused(domain: World, prediction: Prediction) -> Refusal:
    answer = domain.claim(prediction)
    assert isinstance(answer, Refusal)
    return answer


def mask_of(domain: World, prediction: Prediction) -> str:
    """The model version that the visible mask says it was made by."""
    result = domain.get(prediction.id).result
    return domain.objects.get(result["bucket"], result["object"], result["generation"]).decode()


# -- ADR 0001: the shortest trace that breaks each variant


def test_a_crash_after_the_delivery_does_not_lose_the_photo(domain: World) -> None:
    prediction = domain.queued()
    domain.worker(prediction)  # and dies; the message was not acked, so it comes again
    domain.wait_for_lease()
    assert domain.worker(prediction).finish()
    assert domain.get(prediction.id).state is State.SUCCEEDED


def test_two_workers_never_both_commit(domain: World) -> None:
    prediction = domain.queued()
    first = domain.worker(prediction, "A")
    assert refused(domain, prediction).verdict is Verdict.BUSY
    domain.wait_for_lease()
    second = domain.worker(prediction, "B")
    assert second.finish()
    ended = domain.get(prediction.id)
    assert not first.finish()
    assert domain.get(prediction.id) == ended


def test_a_slow_workers_bytes_never_replace_the_committed_ones(domain: World) -> None:
    prediction = domain.queued()
    slow = domain.worker(prediction, "A")
    slow.store()
    domain.wait_for_lease()
    fast = domain.worker(prediction, "B")
    assert fast.finish()
    slow.store()
    assert not slow.commit()
    assert mask_of(domain, prediction) == "B"
    assert [info.name for info in domain.objects.list("results")] == [fast.stored.name]


def test_the_recorded_model_made_the_bytes_that_the_document_points_at(domain: World) -> None:
    prediction = domain.queued()
    first = domain.worker(prediction, "A")
    domain.wait_for_lease()
    second = domain.worker(prediction, "B")
    second.store()
    first.store()
    assert second.commit()
    assert (domain.get(prediction.id).model["version"], mask_of(domain, prediction)) == ("B", "B")


def test_a_busy_delivery_comes_back_when_the_holder_has_died(domain: World) -> None:
    prediction = domain.queued()
    domain.worker(prediction)  # dies
    refusal = refused(domain, prediction)
    assert refusal.verdict is Verdict.BUSY
    assert 0 < refusal.retry_after <= domain.settings.lease_seconds
    domain.wait(refusal.retry_after)
    assert domain.worker(prediction).finish()


def test_a_dead_letter_under_a_live_lease_fails_nothing(domain: World) -> None:
    prediction = domain.queued()
    holder = domain.worker(prediction)
    before = domain.get(prediction.id)
    domain.bury(domain.queue.messages.pop())
    assert domain.get(prediction.id) == before
    assert len(domain.queue.messages) == 1
    assert holder.finish()


def test_dead_letters_are_read_and_tried_again(domain: World) -> None:
    prediction = domain.queued()
    domain.worker(prediction)  # dies
    for _ in range(2):
        assert refused(domain, prediction).verdict is Verdict.BUSY
    domain.bury(domain.queue.messages.pop())
    domain.wait_for_lease()
    (request,) = domain.queue.requests
    assert request.prediction_id == prediction.id
    assert domain.worker(prediction).finish()


def test_every_dead_letter_topic_of_a_photo_has_a_reader() -> None:
    table = pipeline.load()
    read = {one.topic for one in table.subscriptions.values()}
    assert {one.dead_letter for one in table.subscriptions.values() if one.topic in ("uploads", "segment")} <= read


def test_refusals_during_a_cold_start_use_up_no_claims(domain: World) -> None:
    prediction = domain.queued()
    for _ in range(10):  # each message: a hundred answers of 429, then the dead-letter topic
        domain.bury(domain.queue.messages.pop())
    assert domain.get(prediction.id) == prediction
    assert domain.worker(prediction).finish()


# -- claim


def test_the_third_claim_is_the_last_chance_and_the_fourth_is_poison(domain: World) -> None:
    prediction = domain.queued()
    chances = []
    for _ in range(3):
        chances.append(domain.worker(prediction).held.last_chance)
        domain.wait_for_lease()
    assert chances == [False, False, True]
    assert refused(domain, prediction).verdict is Verdict.POISON
    ended = domain.get(prediction.id)
    assert (ended.state, ended.error) == (State.FAILED, {"reason": "POISON", "message": POISON_MESSAGE})
    assert refused(domain, prediction).verdict is Verdict.DUPLICATE


def test_the_last_chance_is_only_for_who_holds_no_other_claim(domain: World) -> None:
    prediction = domain.queued()
    for _ in range(2):
        assert isinstance(domain.claim(prediction, alone=False), Worker)
        domain.wait_for_lease()
    before = domain.get(prediction.id)
    answer = domain.claim(prediction, alone=False)
    assert isinstance(answer, Refusal)
    assert answer.verdict is Verdict.ALONE
    assert domain.get(prediction.id) == before
    assert domain.worker(prediction).held.last_chance


def test_a_claim_after_the_deadline_expires_the_photo(domain: World) -> None:
    prediction = domain.queued()
    domain.wait(domain.settings.deadline_seconds)
    assert refused(domain, prediction).verdict is Verdict.LATE
    ended = domain.get(prediction.id)
    assert (ended.state, ended.error["reason"]) == (State.EXPIRED, "DEADLINE_EXCEEDED")


def test_a_claim_records_who_works_under_which_model_and_arm(domain: World) -> None:
    held = domain.worker(domain.queued(), "7").held
    assert held.prediction.model == {"name": "starter", "version": "7", "arm": "stable"}
    assert (held.fence, held.prediction.claims, held.prediction.state) == (1, 1, State.RUNNING)
    assert domain.get(held.prediction.id) == held.prediction


def test_messages_about_nothing_are_duplicates(domain: World) -> None:
    prediction = domain.queued()
    assert refused(domain, replace(prediction, id="p" + "a" * 25)).verdict is Verdict.DUPLICATE
    assert refused(domain, replace(prediction, generation=prediction.generation + 1)).verdict is Verdict.DUPLICATE
    domain.change(prediction.id, state=State.AWAITING_UPLOAD)
    assert refused(domain, prediction).verdict is Verdict.DUPLICATE


def test_a_lease_ends_exactly_at_its_time(domain: World) -> None:
    running = domain.worker(domain.queued()).held.prediction
    over = running.lease_expire_time
    assert over is not None
    just_before = over - timedelta(microseconds=1)
    assert decide_claim(running, running.generation, just_before, 3) is Verdict.BUSY
    assert decide_claim(running, running.generation, over, 3) is Verdict.WORK


def test_a_claim_whose_answer_is_lost_costs_one_lease(domain: World) -> None:
    prediction = domain.queued()
    domain.documents.lost = Retryable("no answer")
    with pytest.raises(Retryable):
        domain.claim(prediction)
    assert refused(domain, prediction).verdict is Verdict.BUSY
    domain.wait_for_lease()
    assert domain.worker(prediction).held.fence == 2


# -- commit


@pytest.mark.parametrize("lost", [Retryable("no answer"), Conflict("the adapter's second try met its first")])
def test_a_commit_whose_answer_is_lost_may_be_repeated(domain: World, lost: Exception) -> None:
    prediction = domain.queued()
    worker = domain.worker(prediction)
    worker.store()
    domain.documents.lost = lost
    if isinstance(lost, Retryable):
        with pytest.raises(Retryable):
            worker.commit()
    assert worker.commit()
    assert mask_of(domain, prediction) == "A"


def test_a_cancelled_photo_cannot_be_committed(domain: World) -> None:
    prediction = domain.queued()
    worker = domain.worker(prediction)
    domain.runtime.store.update(prediction.id, lambda stored, _: stored.ended(State.CANCELLED))
    assert not worker.finish()
    assert domain.get(prediction.id).state is State.CANCELLED
    assert domain.objects.list("results") == []


def test_a_commit_for_a_photo_that_is_gone_is_fenced(domain: World) -> None:
    worker = domain.worker(domain.queued())
    domain.documents.delete(worker.held.prediction.path)
    assert not worker.finish()


def test_a_late_commit_still_counts_while_nobody_took_over(domain: World) -> None:
    prediction = domain.queued()
    worker = domain.worker(prediction)
    domain.wait_for_lease()
    assert worker.finish()


def test_another_outcome_of_the_same_fence_is_not_mine(domain: World) -> None:
    """Settle set the photo aside under the same fence: the mask must go."""
    prediction = domain.queued()
    worker = domain.worker(prediction)
    domain.change(prediction.id, claims=3)
    domain.wait_for_lease()
    domain.sweep()
    assert domain.get(prediction.id).state is State.FAILED
    assert not worker.finish()
    assert domain.objects.list("results") == []


# -- give back, abandon


def test_a_claim_given_back_is_free_at_once_and_not_counted(domain: World) -> None:
    prediction = domain.queued()
    assert domain.worker(prediction).give_back()
    free = domain.get(prediction.id)
    assert (free.state, free.phase, free.claims, free.charged_claims) == (State.RUNNING, Phase.RETRYING, 1, 0)
    again = domain.worker(prediction)
    assert (again.held.fence, again.held.last_chance) == (2, False)


def test_giving_back_twice_counts_once(domain: World) -> None:
    worker = domain.worker(domain.queued())
    domain.documents.lost = Conflict("the adapter's second try met its first")
    assert worker.give_back()
    assert worker.give_back()
    assert domain.get(worker.held.prediction.id).given_back == 1


def test_an_old_claim_gives_nothing_back(domain: World) -> None:
    prediction = domain.queued()
    old = domain.worker(prediction)
    domain.wait_for_lease()
    domain.worker(prediction)
    before = domain.get(prediction.id)
    assert not old.give_back()
    old.abandon()
    assert domain.get(prediction.id) == before


def test_an_abandoned_claim_is_free_at_once_and_counted(domain: World) -> None:
    prediction = domain.queued()
    domain.worker(prediction).abandon()
    free = domain.get(prediction.id)
    assert (free.phase, free.charged_claims) == (Phase.RETRYING, 1)
    assert domain.worker(prediction).held.fence == 2


def test_a_worker_may_still_commit_what_it_gave_back(domain: World) -> None:
    """Its commit was under way on another thread; whoever comes first wins, and there is one mask."""
    prediction = domain.queued()
    worker = domain.worker(prediction)
    worker.store()
    assert worker.give_back()
    assert worker.commit()
    assert refused(domain, prediction).verdict is Verdict.DUPLICATE
