"""What every `Services` adapter promises: service `segment` with one revision, job `train`."""

from __future__ import annotations

import pytest

from shared.errors import Conflict, Malformed
from shared.ports import Services, Share

HALVES = (Share("default", 50), Share("candidate", 50, "candidate"))


def test_at_first_one_revision_gets_everything(services: Services) -> None:
    assert services.traffic("segment").shares == (Share("default", 100),)


def test_traffic_is_as_it_was_set(services: Services) -> None:
    services.set_traffic("segment", HALVES, services.traffic("segment").version)
    assert services.traffic("segment").shares == HALVES
    back = (Share("default", 100), Share("candidate", 0, "candidate"))
    services.set_traffic("segment", back, services.traffic("segment").version)
    assert services.traffic("segment").shares == back


def test_a_version_changes_only_with_the_service(services: Services) -> None:
    first = services.traffic("segment").version
    assert services.traffic("segment").version == first
    services.set_traffic("segment", HALVES, first)
    assert services.traffic("segment").version != first


def test_who_read_before_a_change_cannot_undo_it(services: Services) -> None:
    read = services.traffic("segment")
    services.set_traffic("segment", HALVES, read.version)
    with pytest.raises(Conflict):
        services.set_traffic("segment", read.shares, read.version)
    assert services.traffic("segment").shares == HALVES


@pytest.mark.parametrize(
    "shares",
    [
        (),
        (Share("a", 99),),
        (Share("a", 60), Share("b", 60)),
        (Share("a", 150), Share("b", -50)),
        (Share("", 100),),
        (Share("a", 50, "x"), Share("b", 50, "x")),
    ],
)
def test_shares_that_do_not_add_up_are_refused(services: Services, shares: tuple[Share, ...]) -> None:
    with pytest.raises(Malformed):
        services.set_traffic("segment", shares, services.traffic("segment").version)


def test_minimum_instances_leave_the_traffic_alone(services: Services) -> None:
    services.set_traffic("segment", HALVES, services.traffic("segment").version)
    for count in (2, 2, 0):
        services.set_min_instances("segment", count)
    assert services.traffic("segment").shares == HALVES
    with pytest.raises(Malformed):
        services.set_min_instances("segment", -1)


def test_each_start_of_a_job_is_an_execution_of_its_own(services: Services) -> None:
    plain = services.start_job("train")
    changed = services.start_job("train", ["--epochs", "3"], {"MASKLINE_LOG_LEVEL": "DEBUG"}, tasks=4)
    assert plain != changed
    assert all(name.startswith("train-") for name in (plain, changed))
