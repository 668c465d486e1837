"""The embedded broker beside the official Pub/Sub emulator: the same push work, in turns within one run.

Each round sends both the same two loads. A burst: 200-byte messages, published over REST in batches of 10 by 32
publishers that each wait for their answer; messages/s from the first publish to the last delivery. A steady load: 50
messages/s, one per request, whatever came of the ones before; how long each takes from its publish to its arrival. One
endpoint answers 204 to every push at once and notes when it came. A first round of each warms both and counts nothing.

What limits them: the broker one core and, message by message, the disk: it answers a publish only when the message is
durable (fsync), and pushes it only then. The emulator keeps everything in memory, so it promises less; it has at most 2
pushes of a subscription under way and looks for new messages about ten times a second. It runs as the emulator profile
starts it, which is faster than Java's own defaults on two cores; `--gcloud` gives it those.

    python -m benchmarks.broker_beside --messages 5000 --seconds 20 --rounds 5

Publishers and the endpoint share one process and compete with both for the machine's cores; whoever's turn it is not
stays up, idle. Without Java or the emulator this says so and measures nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import httptools
import uvloop

from benchmarks.broker import ANSWER, broker
from benchmarks.load import percentile
from benchmarks.processes import free_port
from benchmarks.report import finish, spread
from local import emulators
from local.client import Client
from local.pubsub.admin import create
from shared import envelope
from shared.errors import Malformed, Misconfigured

PUBLISHERS, BATCH = 32, 10  # of the burst
PER_SECOND = 50  # of the steady load
BYTES = 200  # a message's data
WARM_SECONDS = 5  # of steady load after a whole burst: Java compiles while it runs
SILENCE = 30.0  # s without any arrival: what has not come by then is lost
PROJECT = "maskline-local"
TOPIC = f"projects/{PROJECT}/topics/segment"
ATTRIBUTES = {"arm": "stable", "lane": "interactive"}  # what the broker's filter asks for; the emulator has none
JSON = [(b"content-type", b"application/json")]
SIDES = ("broker", "emulator")

Start = Callable[[], emulators.Emulator]
Arrival = tuple[float, bytes]  # when (monotonic), the push's body


@dataclass(frozen=True, slots=True)
class Burst:
    """Messages/s published and delivered; how many came never, and how many deliveries were repetitions."""

    published_per_s: float
    delivered_per_s: float
    lost: int
    repeated: int


@dataclass(frozen=True, slots=True)
class Steady:
    """Seconds from publish to arrival, shortest first; how many came never, and the repetitions."""

    seconds: Sequence[float]
    lost: int
    repeated: int

    def ms(self, share: float) -> float:
        return 1000 * percentile(self.seconds, share)


@dataclass(frozen=True, slots=True)
class Round:
    """What one side did in one round."""

    burst: Burst
    steady: Steady


@dataclass(frozen=True, slots=True)
class Load:
    messages: int  # of the burst
    seconds: int  # of the steady load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=5000, help="of a burst")
    parser.add_argument("--seconds", type=int, default=20, help="of a steady load")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gcloud", action="store_true", help="the emulator on Java's defaults, as gcloud starts it")
    args = parser.parse_args()
    start = partial(emulators.start_pubsub, jvm=()) if args.gcloud else emulators.start_pubsub
    try:
        version = emulator_version()
    except Misconfigured as problem:
        print(f"skipped: {problem}")
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rounds = runner.run(measured(start, Load(args.messages, args.seconds), args.rounds))
    load = {"messages": args.messages, "seconds": args.seconds}
    report(rounds, {"emulator": version, "java_defaults": args.gcloud, **load})


def emulator_version() -> str:
    """The name of its jar. Raises `Misconfigured` without Java or without it."""
    return next(Path(part).stem for part in emulators.pubsub_command(1) if part.endswith(".jar"))


def report(rounds: Mapping[str, Sequence[Round]], load: Mapping[str, Any]) -> None:
    """Print what matters, keep all, and end with an error if anything was lost."""
    figures = compared(rounds)
    for name in MEASURES:
        print(f"{name}: " + ", ".join(f"{side} {figures[name][side]['median']:.1f}" for side in SIDES))
    print(f"burst: {figures['burst_ratio']['median']:.2f} × the emulator's; the bar is 2")
    print(f"p99: {figures['p99_ratio']['median']:.3f} × the emulator's; the bar is 0.25")
    settings = {"rounds": len(rounds["broker"]), "publishers": PUBLISHERS, "batch": BATCH, "per_second": PER_SECOND}
    finish("broker_beside", {**load, **settings, **figures})
    if any(figures["lost"].values()):
        sys.exit(f"messages were lost: {figures['lost']}")


MEASURES: Mapping[str, Callable[[Round], float]] = {
    "published_per_s": lambda one: one.burst.published_per_s,
    "delivered_per_s": lambda one: one.burst.delivered_per_s,
    "p50_ms": lambda one: one.steady.ms(0.5),
    "p99_ms": lambda one: one.steady.ms(0.99),
}


def compared(rounds: Mapping[str, Sequence[Round]]) -> dict[str, Any]:
    """Each side's figures, and the broker's over the emulator's of the same round."""
    values = {name: {side: [of(one) for one in rounds[side]] for side in SIDES} for name, of in MEASURES.items()}
    return {
        **{name: {side: spread(each) for side, each in sides.items()} for name, sides in values.items()},
        "burst_ratio": ratio(values["delivered_per_s"]),
        "p50_ratio": ratio(values["p50_ms"]),
        "p99_ratio": ratio(values["p99_ms"]),
        "lost": {side: sum(one.burst.lost + one.steady.lost for one in rounds[side]) for side in SIDES},
        "repeated": {side: sum(one.burst.repeated + one.steady.repeated for one in rounds[side]) for side in SIDES},
    }


def ratio(sides: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return spread([ours / theirs for ours, theirs in zip(sides["broker"], sides["emulator"], strict=True)])


async def measured(start: Start, load: Load, rounds: int) -> dict[str, list[Round]]:
    """Of each round, after one that warms; who begins changes from round to round."""
    endpoint, port = Endpoint(), free_port()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(endpoint), "127.0.0.1", port)
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder), port) as ours, emulator(start, port) as theirs:
        sides = {"broker": Side(ours, endpoint), "emulator": Side(theirs, endpoint)}
        await one_round(sides, SIDES, Load(load.messages, WARM_SECONDS))
        done: dict[str, list[Round]] = {side: [] for side in SIDES}
        for number in range(rounds):
            for name, result in (await one_round(sides, SIDES[:: (-1) ** number], load)).items():
                done[name].append(result)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    server.close()
    return done


async def one_round(sides: Mapping[str, Side], order: Sequence[str], load: Load) -> dict[str, Round]:
    bursts = {name: await sides[name].burst(load.messages) for name in order}
    steady = {name: await sides[name].steady(load.seconds) for name in order}
    return {name: Round(bursts[name], steady[name]) for name in order}


@contextmanager
def emulator(start: Start, endpoint: int) -> Iterator[str]:
    """Its URL; one topic, one subscription that pushes to this port. No retry policy: with one it loses messages."""
    running = start()
    try:
        push = {"pushEndpoint": f"http://127.0.0.1:{endpoint}/segment/push"}
        subscription = {"topic": TOPIC, "pushConfig": push, "ackDeadlineSeconds": 60}
        url = f"http://{running.host}"
        create(url, PROJECT, [("topics/segment", {}), ("subscriptions/segment", subscription)])
        yield url
    finally:
        running.stop()


class Side:
    """One of the two: where it takes messages, and the endpoint that it delivers to."""

    def __init__(self, url: str, endpoint: Endpoint) -> None:
        self._client = Client(url)
        self._endpoint = endpoint

    async def burst(self, messages: int) -> Burst:
        numbers = self._endpoint.expect(messages)
        batches = iter([request(numbers[at : at + BATCH]) for at in range(0, messages, BATCH)])

        async def publisher() -> None:
            for body in batches:
                await self._publish(body)

        began = time.monotonic()
        await asyncio.gather(*(publisher() for _ in range(PUBLISHERS)))
        published = messages / (time.monotonic() - began)
        arrived, repeated = await self._endpoint.settled(numbers)
        delivered = len(arrived) / (max(arrived.values(), default=math.inf) - began)
        return Burst(published, delivered, messages - len(arrived), repeated)

    async def steady(self, seconds: int) -> Steady:
        numbers = self._endpoint.expect(PER_SECOND * seconds)
        sent: dict[int, float] = {}

        async def one(number: int) -> None:
            body = request([number])
            sent[number] = time.monotonic()
            await self._publish(body)

        await paced([partial(one, number) for number in numbers], PER_SECOND)
        arrived, repeated = await self._endpoint.settled(numbers)
        took = sorted(at - sent[number] for number, at in arrived.items())
        return Steady(took, len(numbers) - len(arrived), repeated)

    async def _publish(self, body: bytes) -> None:
        answer = await self._client.request("POST", f"/v1/{TOPIC}:publish", JSON, body)
        if answer.status != 200:
            raise RuntimeError(f"a publish was answered {answer.status}: {answer.body[:300]!r}")


async def paced(calls: Sequence[Callable[[], Coroutine[Any, Any, None]]], per_second: float) -> None:
    """Start each when it is due, whatever came of the ones before."""
    began = time.monotonic()
    tasks = []
    for at, call in enumerate(calls):
        await asyncio.sleep(began + at / per_second - time.monotonic())
        tasks.append(asyncio.create_task(call()))
    await asyncio.gather(*tasks)


def request(numbers: Sequence[int]) -> bytes:
    """One publish request; each message's data is its number."""
    data = [base64.b64encode(str(number).zfill(BYTES).encode()).decode() for number in numbers]
    return json.dumps({"messages": [{"data": each, "attributes": ATTRIBUTES} for each in data]}).encode()


def first_arrivals(arrivals: Iterable[Arrival], numbers: range) -> tuple[dict[int, float], int]:
    """When each of these messages came first, and how many deliveries of them came after that."""
    first: dict[int, float] = {}
    repeated = 0
    for at, body in arrivals:
        number = number_of(body)
        if number in numbers:
            repeated += number in first
            first.setdefault(number, at)
    return first, repeated


def number_of(body: bytes) -> int:
    """-1 for what is not ours, such as the broker's own tick."""
    try:
        data = envelope.decode(body).data
    except Malformed:
        return -1
    return int(data) if len(data) == BYTES and data.isdigit() else -1


class Endpoint:
    """Notes when each push came; reads them only when all are there, so that it costs both sides the same little."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self._next = 0

    def expect(self, messages: int) -> range:
        """Numbers that no message had before: what still comes of an earlier load is not taken for one of these."""
        self.arrivals = []
        numbers = range(self._next, self._next + messages)
        self._next = numbers.stop
        return numbers

    async def settled(self, numbers: range) -> tuple[dict[int, float], int]:
        """`first_arrivals` as soon as none is missing, or when nothing has come for long."""
        since = time.monotonic()
        while True:
            await asyncio.sleep(0.05)
            latest = max(since, self.arrivals[-1][0] if self.arrivals else 0.0)
            silent = time.monotonic() - latest > SILENCE
            if silent or len(self.arrivals) >= len(numbers):
                first, repeated = first_arrivals(self.arrivals, numbers)
                if silent or len(first) == len(numbers):
                    return first, repeated


class _Connection(asyncio.Protocol):
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, chunk: bytes) -> None:
        self._body += chunk

    def on_message_complete(self) -> None:
        self._transport.write(ANSWER)
        self._endpoint.arrivals.append((time.monotonic(), self._body))
        self._body = b""


if __name__ == "__main__":
    main()
