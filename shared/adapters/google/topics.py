"""`Topics` on Pub/Sub: the id means that a message is stored.

The generated calls rather than the batching client: a function knows what it wants to publish and must know its fate
before it answers, so batches that fill up and their threads would only add latency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from shared.adapters.google.errors import retried
from shared.adapters.google.lazily import Lazily
from shared.adapters.google.libraries import load
from shared.adapters.google.rpcs import Rpcs
from shared.errors import Malformed, MasklineError, Misconfigured, NotFound
from shared.ports import Message

_TRANSPORTS = "google.pubsub_v1.services.publisher.transports"
_MESSAGES = "google.pubsub_v1.types.pubsub"
_MOST = 100  # messages of a request: Pub/Sub takes 1,000, and ten megabytes
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
        (message_id,) = self._published(topic, self._route(topic, attributes), [(data, attributes)])
        return message_id

    def publish_all(self, topic: str, messages: Sequence[Message]) -> list[str | Exception]:
        """One RPC for each topic that `route` names, and for each `_MOST` of its messages."""
        routed: dict[str, list[int]] = {}
        for number, (_, attributes) in enumerate(messages):
            routed.setdefault(self._route(topic, attributes), []).append(number)
        outcomes: dict[int, str | Exception] = {}
        for name, numbers in routed.items():
            for part in (numbers[first : first + _MOST] for first in range(0, len(numbers), _MOST)):
                outcomes |= zip(part, self._sent(topic, name, [messages[number] for number in part]), strict=True)
        return [outcomes[number] for number in range(len(messages))]

    def _sent(self, topic: str, name: str, messages: Sequence[Message]) -> list[str | Exception]:
        """Each one's id or error; Pub/Sub refuses a request as a whole."""
        try:
            return [*self._published(topic, name, messages)]
        except Malformed as error:
            return (
                [error] if len(messages) == 1 else [one for each in messages for one in self._sent(topic, name, [each])]
            )
        except MasklineError as error:
            return [error] * len(messages)

    def _published(self, topic: str, name: str, messages: Sequence[Message]) -> list[str]:
        types, path = load(_MESSAGES), f"projects/{self._project}/topics/{name}"
        rows = [types.PubsubMessage(data=data, attributes=dict(attributes)) for data, attributes in messages]
        request = types.PublishRequest(topic=path, messages=rows)
        try:
            answer = retried("Pub/Sub", lambda: self._rpcs()("publish", request, {"topic": path}))
        except NotFound:
            raise Misconfigured(f"the topic {topic!r} does not exist: apply Terraform, which makes it") from None
        return [str(one) for one in answer.message_ids]

    def look(self, topic: str) -> None:
        """Raise `NotFound` unless there is such a topic; for `maskline doctor`."""
        name = f"projects/{self._project}/topics/{topic}"
        request = load(_MESSAGES).GetTopicRequest(topic=name)
        retried("Pub/Sub", lambda: self._rpcs()("get_topic", request, {"topic": name}))

    def close(self) -> None:
        """Close the connection; the next publish opens another."""
        self._rpcs.drop(Rpcs.close)
