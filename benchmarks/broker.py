"""The embedded broker: messages per second through HTTP, every one on disk before its publish is answered.

What limits it: one core. A publish costs a parsed request, a row, and its share of a commit, which all requests that
wait share; a delivery costs a request, its answer, and its share of a delete. Each of three rounds publishes to nobody,
one message per request and in batches of 50, then delivers that backlog, then publishes and delivers at once.

    python -m benchmarks.broker --messages 10000

Publishers and the subscriber share one process on the same machine and compete with the broker for its cores.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import httptools
import uvloop

from benchmarks.processes import free_port, wait_for
from benchmarks.report import finish, spread
from local.client import Client
from shared.settings import Settings

PUBLISHERS = 32
ROUNDS = 3
ATTRIBUTES = {"schemaVersion": "1", "predictionId": "p" + "a" * 25, "arm": "stable", "lane": "interactive"}
BODY = {"predictionId": "p" + "a" * 25, "bucket": "uploads", "object": "users/ana/cat.jpg", "generation": "1" * 16}
DATA = base64.b64encode(json.dumps(BODY).encode()).decode()
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    messages = parser.parse_args().messages
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = [runner.run(measured(messages)) for _ in range(ROUNDS)]
    names = ("publish_per_s", "publish_batched_per_s", "deliver_per_s", "through_per_s")
    figures = {name: spread(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
    for name, value in figures.items():
        print(f"{name}: {value['median']:.0f} ({value['min']:.0f} to {value['max']:.0f})")
    finish("broker", {"messages": messages, "publishers": PUBLISHERS} | figures)


async def measured(messages: int) -> tuple[float, float, float, float]:
    """Messages/s: published one by one, published in batches, delivered from the backlog, both at once."""
    subscriber, port = Subscriber(), free_port()
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder), port) as url:
        single = messages / await publish(url, messages, 1)
        batched = messages / await publish(url, messages, 50)
        subscriber.expect(2 * messages)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(subscriber), "127.0.0.1", port)
        await subscriber.done.wait()
        delivered = 2 * messages / (time.monotonic() - subscriber.first)
        subscriber.expect(messages)
        started = time.monotonic()
        await publish(url, messages, 10)
        await subscriber.done.wait()
        through = messages / (time.monotonic() - started)
    server.close()
    return single, batched, delivered, through


@contextmanager
def broker(folder: Path, subscriber: int) -> Iterator[str]:
    port = free_port()
    stages = json.dumps({stage: f"http://127.0.0.1:{subscriber}/{stage}" for stage in ("accept", "settle", "segment")})
    process = subprocess.Popen(
        [sys.executable, "-m", "local.broker", "--port", str(port), "--endpoints", stages],
        env=Settings.from_env({}, data=folder, sweep_seconds=3600).environment(),
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/healthz")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


async def publish(url: str, messages: int, batch: int) -> float:
    """Seconds for `messages`, by closed-loop publishers; each waits for its answer."""
    client = Client(url)
    target = "/v1/projects/maskline-local/topics/segment:publish"
    body = json.dumps({"messages": [{"data": DATA, "attributes": ATTRIBUTES}] * batch}).encode()
    left = iter(range(messages // batch))

    async def publisher() -> None:
        for _ in left:
            answer = await client.request("POST", target, [(b"content-type", b"application/json")], body)
            assert answer.status == 200, answer.body

    started = time.monotonic()
    await asyncio.gather(*(publisher() for _ in range(PUBLISHERS)))
    client.close()
    return time.monotonic() - started


class Subscriber:
    """Says 204 to every push at once, and counts."""

    def __init__(self) -> None:
        self.first = 0.0  # monotonic
        self.done = asyncio.Event()
        self._left = 0

    def expect(self, messages: int) -> None:
        self.first = 0.0
        self._left = messages
        self.done.clear()

    def took(self) -> None:
        self.first = self.first or time.monotonic()
        self._left -= 1
        if self._left == 0:
            self.done.set()


class _Connection(asyncio.Protocol):
    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(ANSWER)
        self._subscriber.took()


if __name__ == "__main__":
    main()
