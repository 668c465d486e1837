"""From the pipeline table, the settings and the endpoints: every subscription as the broker runs it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from local.broker.filters import Predicate, compile_filter
from local.broker.queue import Policy
from shared.errors import Misconfigured
from shared.pipeline import Pipeline, Subscription, Timings
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Route:
    """One push subscription. `endpoint` is a base URL, `path` what is posted to."""

    name: str
    topic: str
    endpoint: str
    path: str
    matches: Predicate
    dead_letter: str
    policy: Policy


def timings_of(pipeline: Pipeline, settings: Settings) -> Timings:
    """The local profile's, where settings do not say otherwise."""
    return replace(
        pipeline.timings["local"],
        work_budget=settings.work_budget_seconds,
        lease=settings.lease_seconds,
        ack_deadline=settings.ack_deadline_seconds,
        sweep=settings.sweep_seconds,
    )


def routes_of(pipeline: Pipeline, settings: Settings, endpoints: Mapping[str, str]) -> list[Route]:
    """Raises `Misconfigured` for a bad filter or a stage without an endpoint."""
    pipeline = pipeline.local()
    missing = sorted({subscription.stage for subscription in pipeline.subscriptions.values()} - endpoints.keys())
    if missing:
        raise Misconfigured(f"no endpoint is given for {', '.join(missing)}")
    timings = timings_of(pipeline, settings)
    return [_route(s, pipeline, timings, endpoints[s.stage]) for s in pipeline.subscriptions.values()]


def _route(subscription: Subscription, pipeline: Pipeline, timings: Timings, endpoint: str) -> Route:
    # The endpoint may have a path of its own, such as a revision's tag.
    scheme, _, rest = endpoint.partition("://")
    authority, slash, prefix = rest.partition("/")
    path = (slash + prefix).rstrip("/") + subscription.path
    policy = Policy(
        ack_deadline=subscription.ack_seconds(timings),
        retry_min=timings.retry_min,
        retry_max=timings.retry_max,
        max_delivery_attempts=subscription.max_delivery_attempts,
        max_outstanding=subscription.max_outstanding,
        retention=pipeline.topics[subscription.topic],
    )
    return Route(
        name=subscription.name,
        topic=subscription.topic,
        endpoint=f"{scheme}://{authority}",
        path=path,
        matches=compile_filter(subscription.filter),
        dead_letter=subscription.dead_letter,
        policy=policy,
    )
