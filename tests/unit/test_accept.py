"""One outcome per uploaded generation, whatever is repeated, lost or overwritten on the way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared import ids
from shared.api.announcement import draft, read_announcement
from shared.api.removal import remove
from shared.errors import Retryable
from shared.events import Uploaded
from shared.prediction import Lane, Phase, Prediction, State
from tests.domain import PHOTO, World, copied_id, photo

MISSING = {"reason": "SOURCE_MISSING", "message": "The photo was deleted before it could be read."}


def announced(domain: World, user: str = "ana", **body: Any) -> Prediction:
    wanted = read_announcement({"contentType": "image/png"} | body)
    made = draft(wanted, user, datetime.now(UTC), domain.settings, "00-a-b-01")
    domain.runtime.store.create(made)
    return made


def states(domain: World, *events: Uploaded) -> list[State]:
    return [domain.get(copied_id(event)).state for event in events]


def test_a_copied_photo_is_queued_for_the_user_of_its_path(domain: World) -> None:
    prediction = domain.queued("users/ana/trip/cat.png")
    assert (prediction.state, prediction.phase, prediction.owner_uid) == (State.QUEUED, Phase.QUEUED, "ana")
    about = {key: prediction.input[key] for key in ("contentType", "width", "height", "sizeBytes")}
    assert about == {"contentType": "image/png", "width": 40, "height": 30, "sizeBytes": len(PHOTO)}
    (request,) = domain.queue.requests
    assert (request.prediction_id, request.generation) == (prediction.id, prediction.generation)
    assert (request.arm, request.lane, request.deadline) == ("stable", "interactive", prediction.deadline)


def test_a_photo_outside_the_users_folders_belongs_to_the_operator(domain: World) -> None:
    assert domain.queued("inbox/cat.png").owner_uid == ids.OPERATOR


def test_an_announced_photo_keeps_what_was_announced(domain: World) -> None:
    made = announced(domain, lane="bulk", outputs=["rle"])
    domain.accept(domain.upload(made.object))
    prediction = domain.get(made.id)
    assert (prediction.state, prediction.lane, prediction.outputs) == (State.QUEUED, Lane.BULK, ("rle",))
    assert (prediction.owner_uid, prediction.deadline, prediction.trace) == ("ana", made.deadline, made.trace)
    (request,) = domain.queue.requests
    assert (request.lane, request.trace) == ("bulk", made.trace)


def test_a_photo_that_arrives_after_its_prediction_was_deleted_is_deleted_too(domain: World) -> None:
    made = announced(domain)
    remove(domain.runtime, made.id)
    event = domain.upload(made.object)
    domain.accept(event)
    assert domain.runtime.objects.list(event.bucket) == []
    assert domain.get(made.id).deleted
    assert domain.queue.messages == []


def test_a_name_that_another_user_announced_is_just_a_file(domain: World) -> None:
    made = announced(domain, "ana")
    event = domain.upload(f"users/eve/{made.id}")
    domain.accept(event)
    assert domain.get(made.id).state is State.AWAITING_UPLOAD
    assert domain.get(copied_id(event)).owner_uid == "eve"


def test_an_event_that_comes_again_queues_the_same_prediction_again(domain: World) -> None:
    event = domain.upload()
    for _ in range(3):
        domain.accept(event)
    assert len({request.prediction_id for request in domain.queue.requests}) == 1
    assert len(domain.queue.requests) == 3  # the claim protocol drops the copies


def test_an_event_of_a_photo_that_is_at_work_or_done_does_nothing(domain: World) -> None:
    event = domain.upload()
    domain.accept(event)
    worker = domain.worker(domain.get(copied_id(event)))
    domain.accept(event)
    assert worker.finish()
    domain.accept(event)
    assert len(domain.queue.messages) == 1


def test_every_generation_has_its_own_outcome(domain: World) -> None:
    first = domain.upload()
    domain.accept(first)
    second = domain.upload(data=photo(50, 50))
    domain.accept(second)
    assert states(domain, first, second) == [State.QUEUED, State.QUEUED]


def test_an_announced_object_that_is_overwritten_gets_a_second_prediction(domain: World) -> None:
    made = announced(domain)
    first = domain.upload(made.object)
    domain.accept(first)
    second = domain.upload(made.object, photo(50, 50))
    domain.accept(second)
    assert domain.get(made.id).generation == first.generation
    assert states(domain, second) == [State.QUEUED]


def test_a_generation_that_is_gone_says_so(domain: World) -> None:
    overwritten, event = domain.upload(), domain.upload(data=photo(50, 50))
    domain.accept(overwritten)
    gone = domain.get(copied_id(overwritten))
    assert (gone.state, gone.error) == (State.FAILED, MISSING)
    domain.objects.delete("uploads", event.object)
    domain.accept(event)
    assert states(domain, event) == [State.FAILED]
    assert domain.queue.messages == []


@pytest.mark.parametrize(("data", "reason"), [(b"hello", "UNSUPPORTED_MEDIA"), (photo(8, 8), "BAD_DIMENSIONS")])
def test_what_the_header_tells_is_rejected_without_waking_anybody(domain: World, data: bytes, reason: str) -> None:
    event = domain.upload(data=data)
    domain.accept(event)
    rejected = domain.get(copied_id(event))
    assert (rejected.state, rejected.error["reason"]) == (State.REJECTED, reason)
    assert domain.queue.messages == []


def test_a_cancelled_announcement_stays_cancelled_when_its_photo_arrives(domain: World) -> None:
    made = announced(domain)
    domain.runtime.store.update(made.id, lambda stored, _: stored.ended(State.CANCELLED))
    event = domain.upload(made.object)
    domain.accept(event)
    assert domain.get(made.id).state is State.CANCELLED
    assert domain.runtime.store.get(copied_id(event)) is None
    assert domain.queue.messages == []


def test_events_of_other_buckets_are_ignored(domain: World) -> None:
    event = Uploaded("results", "users/ana/cat.png", 1)
    domain.accept(event)
    assert domain.runtime.store.get(copied_id(event)) is None
    assert "ignored" in domain.logged[0]


def test_while_the_queue_is_down_the_event_comes_again(domain: World) -> None:
    event = domain.upload()
    domain.queue.down = True
    with pytest.raises(Retryable):
        domain.accept(event)
    domain.queue.down = False
    domain.accept(event)
    assert states(domain, event) == [State.QUEUED]
    assert len(domain.queue.messages) == 1


@pytest.mark.parametrize("announces", [True, False])
def test_a_record_whose_answer_is_lost_is_found_again(domain: World, announces: bool) -> None:
    name = announced(domain).object if announces else "inbox/cat.png"
    event = domain.upload(name)
    domain.documents.lost = Retryable("no answer")
    with pytest.raises(Retryable):
        domain.accept(event)
    domain.accept(event)
    (request,) = domain.queue.requests
    assert domain.get(request.prediction_id).state is State.QUEUED
