"""`Services` on Cloud Run. A change goes out with the etag of what was read, so that nobody's change is undone.

Cloud Run answers a change once it is accepted, with a long-running operation that nobody here waits for. Changing a
service needs `iam.serviceAccounts.actAs` on the account that it runs as, even where only traffic changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from shared.adapters.google.errors import retried
from shared.adapters.google.lazily import Lazily
from shared.adapters.google.libraries import load
from shared.adapters.google.rpcs import Rpcs
from shared.errors import Conflict, Malformed, Retryable
from shared.ports import Share, Traffic
from shared.shares import check_shares

SERVICE = "Cloud Run"
_MESSAGES = "google.cloud.run_v2.types"
_CALLS = "google.cloud.run_v2.services"  # and a package of transports for each kind of resource
T = TypeVar("T")

_LATEST, _REVISION = 1, 2  # TrafficTargetAllocationType
_ATTEMPTS = 5  # of a change that does not depend on what was there


class CloudRunServices:
    """`host`: a stand-in's `host:port`, without TLS; empty is Google's own. Safe for threads."""

    def __init__(self, project: str, region: str, host: str = "") -> None:
        self._parent = f"projects/{project}/locations/{region}"
        self._about = {"location": region}
        self._services = Lazily(lambda: _rpcs("services", f"{_MESSAGES}.service", host))
        self._jobs = Lazily(lambda: _rpcs("jobs", f"{_MESSAGES}.job", host))

    def start_job(
        self, job: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None, tasks: int = 0
    ) -> str:
        run = load(f"{_MESSAGES}.job").RunJobRequest
        environment_variable = load(f"{_MESSAGES}.k8s_min").EnvVar
        variables = [environment_variable(name=name, value=value) for name, value in (environment or {}).items()]
        container = run.Overrides.ContainerOverride(args=list(arguments), env=variables)
        containers = [container] if arguments or environment else []
        overrides = run.Overrides(container_overrides=containers, task_count=tasks)
        request = run(name=f"{self._parent}/jobs/{job}", overrides=overrides)
        operation = retried(SERVICE, lambda: self._jobs()("run_job", request, self._about), attempts=1)
        return _last(load(f"{_MESSAGES}.execution").Execution.deserialize(operation.metadata.value).name)

    def traffic(self, service: str) -> Traffic:
        found = self._get(service)
        newest = _last(found.latest_ready_revision)
        shares = [
            Share(newest if target.type_ == _LATEST else target.revision, target.percent, target.tag)
            for target in found.traffic
        ]
        return Traffic(tuple(shares) or (Share(newest, 100),), found.etag)

    def set_traffic(self, service: str, shares: Sequence[Share], version: str) -> None:
        """Names revisions only: a target that follows the newest one would take 100 % at the next deployment."""
        target = load(f"{_MESSAGES}.traffic_target").TrafficTarget
        check_shares(shares)
        found = self._get(service)
        if found.etag != version:
            raise Conflict("the service has changed since it was read")
        found.traffic = [
            target(type_=_REVISION, revision=share.revision, percent=share.percent, tag=share.tag) for share in shares
        ]
        self._update(found, "traffic")

    def set_min_instances(self, service: str, count: int) -> None:
        """At the service, not in its template: no new revision comes of it."""
        if count < 0:
            raise Malformed("a service cannot have fewer than no instances")
        for _ in range(_ATTEMPTS):
            found = self._get(service)
            if found.scaling.min_instance_count == count:
                return
            found.scaling.min_instance_count = count
            try:
                self._update(found, "scaling.min_instance_count")
                return
            except Conflict:
                continue
        raise Retryable("the service is being changed by many")

    def close(self) -> None:
        """Close the connections; the next call opens others."""
        for client in (self._services, self._jobs):
            client.drop(Rpcs.close)

    def _get(self, service: str) -> Any:
        request = load(f"{_MESSAGES}.service").GetServiceRequest(name=f"{self._parent}/services/{service}")
        return retried(SERVICE, lambda: self._services()("get_service", request, self._about))

    def _update(self, service: Any, path: str) -> None:
        request = load(f"{_MESSAGES}.service").UpdateServiceRequest(service=service, update_mask={"paths": [path]})
        retried(SERVICE, _guarded(lambda: self._services()("update_service", request, self._about)))


def _rpcs(resource: str, messages: str, host: str) -> Rpcs:
    load(messages)  # first: the transport would load those of every resource
    return Rpcs(f"{_CALLS}.{resource}.transports", resource.capitalize(), host)


def _guarded(call: Callable[[], T]) -> Callable[[], T]:
    """ABORTED is what Cloud Run says of an etag that is not the current one: nothing to try again."""

    def guarded() -> T:
        try:
            return call()
        except load("google.api_core.exceptions").Aborted:
            raise Conflict("the service has changed since it was read") from None

    return guarded


def _last(name: str) -> str:
    """Cloud Run answers with full names, `projects/…/revisions/NAME`."""
    return name.rpartition("/")[2]
