"""What the tick and the dead letters repair; and that repairing twice, or what is healthy, changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared import settle
from shared.envelope import Push
from shared.errors import Retryable
from shared.events import FINALIZED
from shared.prediction import Phase, Prediction, State
from tests.domain import World, copied_id

PATIENCE = 130  # s; longer than settle waits for a message that nobody took


def tick(domain: World, **attributes: str) -> None:
    settle.settle(domain.runtime, Push(b"{}", {"schedule": "sweep"} | attributes), domain.log)


def awaiting(domain: World) -> Prediction:
    made = replace(
        domain.queued("users/ana/other.png"),
        id="p" + "a" * 25,
        object="users/ana/p" + "a" * 25,
        state=State.AWAITING_UPLOAD,
        phase=Phase.WAITING_FOR_UPLOAD,
        generation=0,
        publish_time=None,
    )
    domain.runtime.store.create(made)
    domain.queue.messages.clear()
    return made


def test_a_dead_workers_photo_goes_back_on_the_queue(domain: World) -> None:
    prediction = domain.queued()
    domain.worker(prediction)
    domain.queue.messages.clear()
    domain.sweep()
    assert domain.queue.messages == []  # its lease is live
    domain.wait_for_lease()
    domain.sweep()
    domain.sweep()
    (request,) = domain.queue.requests  # once: the message is on its way
    assert request.prediction_id == prediction.id
    assert domain.worker(prediction).finish()


def test_a_photo_whose_republished_message_got_lost_is_published_again(domain: World) -> None:
    domain.worker(domain.queued())
    domain.wait_for_lease()
    domain.sweep()
    domain.queue.messages.clear()
    domain.wait(PATIENCE)
    domain.sweep()
    assert len(domain.queue.messages) == 1


def test_a_photo_that_killed_every_worker_is_set_aside(domain: World) -> None:
    prediction = domain.queued()
    for _ in range(3):
        domain.worker(prediction)
        domain.wait_for_lease()
    domain.queue.messages.clear()
    domain.sweep()
    assert domain.get(prediction.id).error["reason"] == "POISON"
    assert domain.queue.messages == []


def test_a_queued_photo_whose_message_got_lost_is_published_again(domain: World) -> None:
    domain.queued()
    domain.queue.messages.clear()
    domain.sweep()
    assert domain.queue.messages == []
    domain.wait(PATIENCE)
    domain.sweep()
    domain.sweep()
    assert len(domain.queue.messages) == 1


def test_what_did_not_end_in_time_expires(domain: World) -> None:
    upload, queued = awaiting(domain), domain.queued("users/ana/cat.png")
    domain.wait(domain.settings.deadline_seconds)
    domain.sweep()
    for name in (upload.id, queued.id):
        ended = domain.get(name)
        assert (ended.state, ended.error["reason"]) == (State.EXPIRED, "DEADLINE_EXCEEDED")


def test_a_live_lease_outlives_the_deadline(domain: World) -> None:
    prediction = domain.queued()
    domain.wait(domain.settings.deadline_seconds - 5)
    worker = domain.worker(prediction)
    domain.wait(10)
    domain.sweep()
    assert domain.get(prediction.id).state is State.RUNNING
    assert worker.finish()


def test_past_its_lease_and_deadline_a_running_photo_expires(domain: World) -> None:
    prediction = domain.queued()
    worker = domain.worker(prediction)
    domain.wait(domain.settings.deadline_seconds)
    domain.sweep()
    assert domain.get(prediction.id).state is State.EXPIRED
    assert not worker.finish()


def test_what_has_ended_or_waits_for_its_upload_is_left_alone(domain: World) -> None:
    waiting = awaiting(domain)
    done = domain.queued()
    assert domain.worker(done).finish()
    domain.queue.messages.clear()
    before = [domain.get(one.id) for one in (waiting, done)]
    domain.sweep()
    assert [domain.get(one.id) for one in (waiting, done)] == before
    assert domain.queue.messages == []


def test_a_lost_queue_is_filled_again_from_the_documents(domain: World) -> None:
    running = domain.queued("users/ana/1.png")
    domain.worker(running)
    queued = domain.queued("users/ana/2.png")
    done = domain.queued("users/ana/3.png")
    domain.worker(done).finish()
    awaiting(domain)
    domain.queue.messages.clear()
    tick(domain)
    assert domain.queue.messages == []
    tick(domain, queueLost="true")
    assert {request.prediction_id for request in domain.queue.requests} >= {running.id, queued.id}
    assert done.id not in {request.prediction_id for request in domain.queue.requests}


def test_filling_the_queue_again_goes_beyond_one_page(domain: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "PAGE", 2)
    names = {domain.queued(f"users/ana/{number}.png").id for number in range(5)}
    domain.queue.messages.clear()
    domain.sweep(queue_lost=True)
    assert sorted(request.prediction_id for request in domain.queue.requests) == sorted(names)


def test_more_than_a_page_of_dead_leases_is_freed_in_the_end(domain: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "PAGE", 2)
    names = {domain.worker(domain.queued(f"users/ana/{number}.png")).held.prediction.id for number in range(5)}
    domain.queue.messages.clear()
    domain.wait_for_lease()
    for _ in range(4):
        domain.sweep()
    assert {request.prediction_id for request in domain.queue.requests} == names


def test_the_dead_letter_of_an_upload_is_accepted(domain: World) -> None:
    event = domain.upload()
    attributes = {
        "eventType": FINALIZED,
        "bucketId": event.bucket,
        "objectId": event.object,
        "objectGeneration": str(event.generation),
    }
    settle.settle(domain.runtime, Push(b"", attributes), domain.log)
    assert domain.get(copied_id(event)).state is State.QUEUED


def test_the_dead_letter_of_an_ended_photo_is_dropped(domain: World) -> None:
    prediction = domain.queued()
    message = domain.queue.messages.pop()
    domain.worker(prediction).finish()
    domain.bury(message)
    domain.documents.delete(prediction.path)
    domain.bury(message)
    assert domain.queue.messages == []


@pytest.mark.parametrize("attributes", [{"schemaVersion": "99"}, {"schemaVersion": "1"}, {"eventType": FINALIZED}])
def test_dead_letters_that_nobody_can_read_are_logged_and_acked(domain: World, attributes: dict[str, str]) -> None:
    settle.settle(domain.runtime, Push(b"{", attributes), domain.log)
    assert '"action":"malformed"' in domain.logged[0]


def test_a_tick_while_the_queue_is_down_fails_and_the_next_one_repairs(domain: World) -> None:
    prediction = domain.queued()
    domain.worker(prediction)
    domain.wait_for_lease()
    domain.queue.messages.clear()
    domain.queue.down = True
    with pytest.raises(Retryable):
        domain.sweep()
    domain.queue.down = False
    domain.wait(PATIENCE)  # the document says published: settle waits before it doubts that
    domain.sweep()
    assert len(domain.queue.messages) == 1


def test_a_fresh_decision_is_made_on_what_the_document_says_now(domain: World) -> None:
    """Between the query and the write the worker committed: nothing is taken back."""
    running = domain.worker(domain.queued()).held.prediction
    over = running.lease_expire_time
    assert over is not None
    assert settle.decide_freed(running, over, domain.settings) is not None
    assert settle.decide_freed(running.ended(State.SUCCEEDED), over, domain.settings) is None
    assert settle.decide_overdue(running.ended(State.SUCCEEDED), over + timedelta(days=1)) is None
    assert settle.decide_forgotten(running, over + timedelta(days=1), domain.settings) is None
