"""Cloud Run's adapter: what it sends, and what it makes of faults."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.cloud import run_v2

from shared.adapters.google.services import CloudRunServices
from shared.errors import Conflict, Misconfigured, NotFound, Retryable
from shared.ports import Share
from tests.contract import cloud_run
from tests.contract.cloud_run import PARENT, CloudRun


@pytest.fixture
def fake() -> Iterator[CloudRun]:
    with cloud_run.serving() as fake:
        yield fake


@pytest.fixture
def services(fake: CloudRun) -> Iterator[CloudRunServices]:
    services = CloudRunServices("project", "europe-west4", fake.host)
    yield services
    services.close()


def test_a_job_is_started_with_what_differs(services: CloudRunServices, fake: CloudRun) -> None:
    assert services.start_job("train", ["--epochs", "3"], {"A": "b"}, tasks=4) == "train-00001"
    [request] = fake.requests
    assert request.name == f"{PARENT}/jobs/train"
    [container] = request.overrides.container_overrides
    assert (list(container.args), request.overrides.task_count) == (["--epochs", "3"], 4)
    assert [(variable.name, variable.value) for variable in container.env] == [("A", "b")]


def test_a_job_as_it_is_defined_gets_no_overrides(services: CloudRunServices, fake: CloudRun) -> None:
    services.start_job("train")
    assert fake.requests[0].overrides == run_v2.RunJobRequest.Overrides()


def test_a_job_is_never_started_twice_by_a_lost_answer(services: CloudRunServices, fake: CloudRun) -> None:
    fake.faults = [grpc.StatusCode.UNAVAILABLE]
    with pytest.raises(Retryable):
        services.start_job("train")
    assert len(fake.requests) == 1


def test_traffic_goes_to_named_revisions_with_the_etag_that_was_read(
    services: CloudRunServices, fake: CloudRun
) -> None:
    read = services.traffic("segment")
    services.set_traffic("segment", [Share("default", 95), Share("next", 5, "candidate")], read.version)
    update = fake.requests[-1]
    assert list(update.update_mask.paths) == ["traffic"]
    assert update.service.etag == read.version
    assert [(t.type_, t.revision, t.percent, t.tag) for t in update.service.traffic] == [
        (run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION, "default", 95, ""),
        (run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION, "next", 5, "candidate"),
    ]


def test_a_change_between_reading_and_writing_is_a_conflict(services: CloudRunServices, fake: CloudRun) -> None:
    version = services.traffic("segment").version
    fake.before_update = fake.touch
    with pytest.raises(Conflict):
        services.set_traffic("segment", [Share("default", 100)], version)
    assert len([r for r in fake.requests if isinstance(r, run_v2.UpdateServiceRequest)]) == 1


def test_minimum_instances_do_not_lose_against_other_changes(services: CloudRunServices, fake: CloudRun) -> None:
    def once() -> None:
        fake.before_update = lambda: None
        fake.touch()

    fake.before_update = once
    services.set_min_instances("segment", 2)
    assert fake.service.scaling.min_instance_count == 2
    updates = [r for r in fake.requests if isinstance(r, run_v2.UpdateServiceRequest)]
    assert [list(update.update_mask.paths) for update in updates] == [["scaling.min_instance_count"]] * 2


def test_minimum_instances_that_are_so_already_change_nothing(services: CloudRunServices, fake: CloudRun) -> None:
    services.set_min_instances("segment", 0)
    assert all(isinstance(request, run_v2.GetServiceRequest) for request in fake.requests)


def test_endless_conflicts_end(services: CloudRunServices, fake: CloudRun) -> None:
    fake.before_update = fake.touch
    with pytest.raises(Retryable):
        services.set_min_instances("segment", 1)


def test_passing_faults_pass(services: CloudRunServices, fake: CloudRun) -> None:
    fake.faults = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert services.traffic("segment").shares == (Share("default", 100),)


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, Misconfigured),
        (grpc.StatusCode.UNAUTHENTICATED, Misconfigured),
        (grpc.StatusCode.NOT_FOUND, NotFound),
    ],
)
def test_a_refusal_is_told_at_once(
    services: CloudRunServices, fake: CloudRun, status: grpc.StatusCode, ours: type[Exception]
) -> None:
    fake.faults = [status]
    with pytest.raises(ours):
        services.traffic("segment")
    assert len(fake.requests) == 1


def test_what_does_not_exist_is_not_found(services: CloudRunServices) -> None:
    with pytest.raises(NotFound):
        services.traffic("nobody-made-this")
    with pytest.raises(NotFound):
        services.start_job("nobody-made-this")
