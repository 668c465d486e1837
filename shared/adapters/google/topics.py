"""`Topics` on Pub/Sub: one message, one RPC, and the id means that it is stored.

The generated client rather than the batching one: a function publishes a single message and must know its fate before
it answers, so batches and their threads would only add latency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared.adapters.google.channels import channel
from shared.adapters.google.errors import TIMEOUT, retried
from shared.adapters.google.lazily import Lazily
from shared.adapters.google.libraries import load
from shared.errors import Misconfigured, NotFound

_CALLS = "google.pubsub_v1.services.publisher"
SPLIT = "segment"  # the one topic whose subscriptions are told apart by filters
Route = Callable[[str, Mapping[str, str]], str]


def by_name(topic: str, attributes: Mapping[str, str]) -> str:
    return topic


def by_arm_and_lane(topic: str, attributes: Mapping[str, str]) -> str:
    """The emulator ignores filters: there, `segment` is one topic for each arm and lane, named as its subscription."""
    return f"{topic}-{attributes['arm']}-{attributes['lane']}" if topic == SPLIT else topic


class PubSubTopics:
    """`host`: an emulator's `host:port`; `route` may name another topic by a message's attributes. Safe for threads."""

    def __init__(self, project: str, host: str = "", route: Route = by_name) -> None:
        self._project = project
        self._host = host
        self._route = route
        self._client = Lazily(self._make_client)

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        name = f"projects/{self._project}/topics/{self._route(topic, attributes)}"
        messages = load("google.pubsub_v1.types.pubsub")
        message = messages.PubsubMessage(data=data, attributes=dict(attributes))
        request = messages.PublishRequest(topic=name, messages=[message])
        try:
            answer = retried("Pub/Sub", lambda: self._client().publish(request, retry=None, timeout=TIMEOUT))
        except NotFound:
            raise Misconfigured(f"the topic {topic!r} does not exist: apply Terraform, which makes it") from None
        return str(answer.message_ids[0])

    def look(self, topic: str) -> None:
        """Raise `NotFound` unless there is such a topic; for `maskline doctor`."""
        name = f"projects/{self._project}/topics/{topic}"
        retried("Pub/Sub", lambda: self._client().get_topic(topic=name, retry=None, timeout=TIMEOUT))

    def close(self) -> None:
        """Close the connection; the next publish opens another."""
        self._client.drop(lambda client: client.transport.close())

    def _make_client(self) -> Any:
        client = load(f"{_CALLS}.client").PublisherClient
        if not self._host:
            return client()
        transport = load(f"{_CALLS}.transports.grpc").PublisherGrpcTransport
        return client(transport=transport(channel=channel(self._host)))
