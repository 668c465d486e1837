"""`Topics` on Pub/Sub: one message, one RPC, and the id means that it is stored.

The generated calls rather than the batching client: a function publishes a single message and must know its fate before
it answers, so batches and their threads would only add latency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.adapters.google.errors import retried
from shared.adapters.google.lazily import Lazily
from shared.adapters.google.libraries import load
from shared.adapters.google.rpcs import Rpcs
from shared.errors import Misconfigured, NotFound

_TRANSPORTS = "google.pubsub_v1.services.publisher.transports"
_MESSAGES = "google.pubsub_v1.types.pubsub"
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
        self._route = route
        self._rpcs = Lazily(lambda: Rpcs(_TRANSPORTS, "Publisher", host))

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        name = f"projects/{self._project}/topics/{self._route(topic, attributes)}"
        messages = load(_MESSAGES)
        message = messages.PubsubMessage(data=data, attributes=dict(attributes))
        request = messages.PublishRequest(topic=name, messages=[message])
        try:
            answer = retried("Pub/Sub", lambda: self._rpcs()("publish", request, {"topic": name}))
        except NotFound:
            raise Misconfigured(f"the topic {topic!r} does not exist: apply Terraform, which makes it") from None
        return str(answer.message_ids[0])

    def look(self, topic: str) -> None:
        """Raise `NotFound` unless there is such a topic; for `maskline doctor`."""
        name = f"projects/{self._project}/topics/{topic}"
        request = load(_MESSAGES).GetTopicRequest(topic=name)
        retried("Pub/Sub", lambda: self._rpcs()("get_topic", request, {"topic": name}))

    def close(self) -> None:
        """Close the connection; the next publish opens another."""
        self._rpcs.drop(Rpcs.close)
