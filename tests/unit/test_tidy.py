"""The sweep's walks: strays accepted, orphans and expired records deleted, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared import ids, tidy
from shared.prediction import State
from tests.domain import World, copied_id, photo

DAY = 86_400


def strays(domain: World) -> None:
    tidy.accept_strays(domain.runtime, domain.now, domain.log)


def orphans(domain: World) -> list[str]:
    """The masks that are left."""
    tidy.delete_orphans(domain.runtime, domain.now, domain.log)
    return [info.name for info in domain.objects.list("results")]


def expire(domain: World) -> None:
    tidy.delete_expired(domain.runtime, domain.now, domain.log)


# -- strays


def test_an_upload_whose_notification_got_lost_is_accepted(domain: World) -> None:
    event = domain.upload()
    strays(domain)
    assert domain.runtime.store.get(copied_id(event)) is None  # its notification may be on the way
    domain.wait(40)
    strays(domain)
    strays(domain)
    assert domain.get(copied_id(event)).state is State.QUEUED
    assert len(domain.queue.messages) == 1


def test_an_announced_upload_whose_notification_got_lost_is_accepted(domain: World) -> None:
    made = domain.change(domain.queued().id, state=State.AWAITING_UPLOAD)
    name = "p" + "b" * 25
    data = domain.documents.get(made.path)
    assert data is not None
    announced = {"id": name, "object": ids.upload_name("ana", name), "generation": 0}
    domain.documents.create(f"predictions/{name}", data.data | announced)
    event = domain.upload(ids.upload_name("ana", name))
    domain.wait(40)
    strays(domain)
    assert (domain.get(name).state, domain.get(name).generation) == (State.QUEUED, event.generation)


def test_uploads_with_an_outcome_or_a_tombstone_are_no_strays(domain: World) -> None:
    prediction = domain.queued()
    domain.runtime.store.update(prediction.id, lambda stored, _: stored.ended(State.CANCELLED, deleted=True))
    domain.queue.messages.clear()
    domain.wait(40)
    strays(domain)
    assert domain.queue.messages == []
    assert domain.get(prediction.id).state is State.CANCELLED


def test_an_object_that_outlived_its_record_is_not_accepted_again(domain: World) -> None:
    prediction = domain.queued()
    domain.wait(domain.settings.retention_seconds)
    domain.documents.delete(prediction.path)  # as Firestore does by itself once the record has expired
    domain.queue.messages.clear()
    strays(domain)
    assert domain.runtime.store.get(prediction.id) is None
    assert domain.queue.messages == []


def test_a_second_generation_of_an_announced_object_is_a_stray_of_its_own(domain: World) -> None:
    made = domain.queued()
    name = "p" + "c" * 25
    row = domain.documents.get(made.path)
    assert row is not None
    first = domain.upload(ids.upload_name("ana", name))
    known = {"id": name, "object": first.object, "generation": first.generation}
    domain.documents.create(f"predictions/{name}", row.data | known)
    second = domain.upload(first.object, photo(50, 50))
    domain.wait(40)
    strays(domain)
    assert domain.get(copied_id(second)).state is State.QUEUED


def test_the_walk_comes_past_every_object_and_begins_again(domain: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidy, "PAGE", 2)
    events = [domain.upload(f"users/ana/{number}.png") for number in range(5)]
    domain.wait(40)
    for _ in range(3):
        strays(domain)
    assert {request.prediction_id for request in domain.queue.requests} == {copied_id(event) for event in events}
    late = domain.upload("users/ana/0-late.png")
    domain.wait(40)
    for _ in range(3):
        strays(domain)
    assert domain.get(copied_id(late)).state is State.QUEUED


# -- orphans


def test_the_mask_of_a_dead_claim_is_deleted_once_it_is_old(domain: World) -> None:
    prediction = domain.queued()
    dead = domain.worker(prediction)
    dead.store()
    domain.wait_for_lease()
    alive = domain.worker(prediction)
    alive.store()
    assert orphans(domain) == [dead.stored.name, alive.stored.name]  # young: it may be about to be committed
    domain.wait(2 * domain.settings.lease_seconds)
    assert orphans(domain) == [alive.stored.name]
    assert alive.commit()
    assert orphans(domain) == [alive.stored.name]


def test_masks_of_what_failed_or_is_unknown_are_deleted(domain: World) -> None:
    prediction = domain.queued()
    worker = domain.worker(prediction)
    worker.store()
    domain.runtime.store.update(prediction.id, lambda stored, _: stored.ended(State.CANCELLED))
    domain.objects.put("results", ids.result_name("p" + "z" * 25, 1, 1), b"mask", "image/png")
    domain.wait(3 * domain.settings.lease_seconds)
    assert orphans(domain) == []


def test_other_results_are_none_of_its_business(domain: World) -> None:
    kept = ["feedback/p/1.png", "predictions/p/preview.png"]
    for name in kept:
        domain.objects.put("results", name, b"kept", "image/png")
    domain.wait(DAY)
    assert orphans(domain) == kept


# -- expired records


def test_past_its_expiry_nothing_of_a_photo_is_kept(domain: World) -> None:
    prediction = domain.queued()
    domain.worker(prediction).finish()
    feedback = domain.objects.put("results", f"feedback/{prediction.id}/1.png", b"mask", "image/png")
    domain.documents.create(f"{prediction.path}/feedback/1", {"object": feedback.name})
    domain.documents.create(f"{prediction.path}/feedback/2", {"verdict": "good"})
    domain.wait(29 * DAY)
    expire(domain)
    assert domain.get(prediction.id).state is State.SUCCEEDED
    domain.wait(2 * DAY)
    expire(domain)
    assert domain.runtime.store.get(prediction.id) is None
    assert domain.documents.query(f"{prediction.path}/feedback") == []
    assert domain.objects.list("uploads") + domain.objects.list("results") == []


def test_an_expired_generation_takes_no_newer_one_with_it(domain: World) -> None:
    prediction = domain.queued()
    domain.worker(prediction).finish()
    newer = domain.upload(data=photo(50, 50))
    domain.change(prediction.id, expire_time=domain.now - timedelta(seconds=1))
    expire(domain)
    assert [info.generation for info in domain.objects.list("uploads")] == [newer.generation]


def test_unfinished_photos_are_not_deleted(domain: World) -> None:
    prediction = domain.queued()
    domain.change(prediction.id, expire_time=domain.now - timedelta(seconds=1))
    expire(domain)
    assert domain.get(prediction.id).state is State.QUEUED


def test_a_deletion_that_died_half_way_is_finished_by_the_next(domain: World) -> None:
    prediction = domain.queued()
    domain.worker(prediction).finish()
    domain.objects.delete("uploads", prediction.object)
    domain.wait(31 * DAY)
    expire(domain)
    assert domain.runtime.store.get(prediction.id) is None
    assert domain.objects.list("results") == []
