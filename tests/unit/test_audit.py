"""Each of the four lists names a planted fault; healthy histories, however odd, give empty ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared import ids
from shared.api.removal import remove
from shared.audit import Report, audit
from shared.prediction import Phase, Prediction, State
from tests.domain import World, copied_id, photo

LONG = 200  # s; more than the grace


def report(domain: World, later: float = LONG) -> Report:
    domain.wait(later)
    return audit(domain.runtime, domain.now)


def announced(domain: World, state: State = State.AWAITING_UPLOAD) -> Prediction:
    name = ids.new_prediction_id()
    made = Prediction(
        id=name,
        owner_uid="ana",
        state=state,
        phase=Phase.WAITING_FOR_UPLOAD,
        bucket="uploads",
        object=ids.upload_name("ana", name),
        deadline=domain.now.replace(year=2100),
        expire_time=domain.now.replace(year=2100),
        create_time=domain.now,
    )
    domain.runtime.store.create(made)
    return made


def succeeded(domain: World, name: str = "users/ana/cat.png") -> Prediction:
    prediction = domain.queued(name)
    assert domain.worker(prediction).finish()
    return domain.get(prediction.id)


# -- planted faults


def test_an_upload_without_an_outcome_is_missing(domain: World) -> None:
    event = domain.upload()
    assert report(domain, later=0).clean  # it may be on its way
    found = report(domain)
    assert found == Report(missing=[f"{event.object} generation {event.generation}"])
    assert not found.clean


def test_a_generation_with_two_outcomes_is_duplicated(domain: World) -> None:
    first = succeeded(domain)
    domain.runtime.store.create(replace(first, id="p" + "a" * 25))
    assert report(domain) == Report(duplicated=[f"{first.object} generation {first.generation}"])


def test_an_ended_photo_with_two_masks_is_duplicated(domain: World) -> None:
    prediction = succeeded(domain)
    domain.objects.put("results", ids.result_name(prediction.id, prediction.generation, 9), b"mask", "image/png")
    assert report(domain).duplicated == [f"{prediction.id}: 2 masks"]


def test_an_outcome_without_its_upload_is_unexpected(domain: World) -> None:
    prediction = succeeded(domain)
    domain.objects.delete("uploads", prediction.object)
    (line,) = report(domain).unexpected
    assert line.startswith(f"{prediction.id} SUCCEEDED: there is no {prediction.object}")


def test_an_outcome_without_its_mask_is_unexpected(domain: World) -> None:
    prediction = succeeded(domain)
    domain.objects.delete("results", prediction.result["object"])
    assert report(domain).unexpected == [f"{prediction.id} SUCCEEDED: its mask does not exist"]


def test_a_mask_that_was_replaced_is_unexpected(domain: World) -> None:
    prediction = succeeded(domain)
    domain.objects.put("results", prediction.result["object"], b"another mask", "image/png")
    assert report(domain).unexpected == [f"{prediction.id} SUCCEEDED: its mask was replaced"]


@pytest.mark.parametrize("running", [True, False])
def test_what_is_long_past_its_deadline_is_stuck(domain: World, running: bool) -> None:
    prediction = domain.queued()
    if running:
        domain.worker(prediction)
    assert report(domain, later=domain.settings.deadline_seconds).clean
    (line,) = report(domain).stuck
    assert line.startswith(f"{prediction.id} {'RUNNING' if running else 'QUEUED'}:")


# -- healthy histories


def test_nothing_at_all_is_clean(domain: World) -> None:
    assert report(domain).clean


def test_copied_and_announced_photos_are_clean(domain: World) -> None:
    succeeded(domain)
    succeeded(domain, "inbox/nobody.png")
    made = announced(domain)
    domain.accept(domain.upload(made.object))
    domain.worker(domain.get(made.id)).finish()
    announced(domain)  # its photo never came
    assert report(domain).clean


def test_rejected_cancelled_and_failed_photos_are_clean(domain: World) -> None:
    domain.accept(domain.upload("users/ana/note.png", b"not a photo"))
    cancelled = domain.queued("users/ana/2.png")
    worker = domain.worker(cancelled)
    worker.store()
    domain.runtime.store.update(cancelled.id, lambda stored, _: stored.ended(State.CANCELLED))
    assert not worker.commit()
    poison = domain.queued("users/ana/3.png")
    domain.change(poison.id, claims=3)
    domain.claim(poison)
    assert report(domain).clean


def test_a_photo_that_arrives_after_its_cancellation_is_clean(domain: World) -> None:
    made = announced(domain, State.CANCELLED)
    domain.accept(domain.upload(made.object))
    assert report(domain).clean


def test_overwritten_photos_are_clean(domain: World) -> None:
    succeeded(domain)
    domain.queued()
    gone = domain.upload(data=photo(50, 50))
    domain.upload(data=photo(60, 60))
    domain.accept(gone)
    assert domain.get(copied_id(gone)).error["reason"] == "SOURCE_MISSING"
    domain.wait_for_lease()
    domain.sweep()
    assert report(domain).clean


def test_an_overwritten_photo_whose_successor_was_deleted_is_clean(domain: World) -> None:
    succeeded(domain)
    event = domain.upload(data=photo(50, 50))
    domain.accept(event)
    remove(domain.runtime, copied_id(event))
    assert report(domain).clean


def test_deleted_photos_are_clean(domain: World) -> None:
    for name in ("users/ana/1.png", "users/ana/2.png"):
        remove(domain.runtime, succeeded(domain, name).id)
    remove(domain.runtime, domain.queued("users/ana/3.png").id)
    assert report(domain).clean


def test_a_deletion_under_way_is_clean(domain: World) -> None:
    prediction = succeeded(domain)
    domain.change(prediction.id, deleted=True)
    domain.objects.delete("uploads", prediction.object)
    domain.objects.delete("results", prediction.result["object"])
    assert report(domain).clean


def test_expired_records_are_clean(domain: World) -> None:
    succeeded(domain)
    domain.wait(31 * 86_400)
    domain.sweep()
    assert report(domain).clean


def test_a_retry_in_progress_is_clean(domain: World) -> None:
    prediction = domain.queued()
    domain.worker(prediction).store()
    domain.wait_for_lease()
    domain.worker(prediction).store()
    assert report(domain).clean


def test_more_than_a_page_is_looked_at(domain: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.audit._PAGE", 2)
    for number in range(5):
        succeeded(domain, f"users/ana/{number}.png")
    assert report(domain).clean
    event = domain.upload("users/zoe/lost.png")
    assert report(domain).missing == [f"{event.object} generation {event.generation}"]
