"""From the routes of the pipeline table to what the Pub/Sub emulator is told over REST. Pure.

Where the emulator differs from the cloud: it ignores filters, so each arm and lane has a topic of its own, which
`shared.adapters.google.topics.by_arm_and_lane` publishes to; and under a retry policy it loses messages that failed,
so there is none, and it retries every second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from local.broker.routes import Route
from shared.adapters.google.topics import SPLIT

Resource = tuple[str, dict[str, Any]]  # path below the project, body

_LEAST_ACK = 10.0  # s, Pub/Sub's limit; only tests want less
_LONGEST_RETENTION = 604_800.0  # s, the emulator's limit; the cloud keeps messages for up to 31 days


def resources(project: str, topics: Iterable[str], routes: Sequence[Route]) -> list[Resource]:
    """Topics first: subscriptions point at them."""
    names = sorted({*topics, *(topic_of(route) for route in routes)})
    return [
        *((f"topics/{name}", {}) for name in names),
        *((f"subscriptions/{route.name}", _subscription(project, route)) for route in routes),
    ]


def topic_of(route: Route) -> str:
    return route.name if route.topic == SPLIT else route.topic


def _subscription(project: str, route: Route) -> dict[str, Any]:
    policy = route.policy
    return {
        "topic": f"projects/{project}/topics/{topic_of(route)}",
        "pushConfig": {"pushEndpoint": route.endpoint + route.path},
        "ackDeadlineSeconds": int(max(policy.ack_deadline, _LEAST_ACK)),
        "messageRetentionDuration": f"{int(min(policy.retention, _LONGEST_RETENTION))}s",
        "deadLetterPolicy": {
            "deadLetterTopic": f"projects/{project}/topics/{route.dead_letter}",
            "maxDeliveryAttempts": policy.max_delivery_attempts,
        },
    }
