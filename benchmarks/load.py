"""A load of HTTP requests on the loopback: closed loops, an open loop or a burst, in one process with one event loop.

A client that costs as much as the server would measure itself: requests are made once, answers are read by
asyncio's streams on uvloop and hashed. `Outcome.client_cores` says what that took (0.02 to 0.04 cores at 100 images/s).
A server that cannot be reached, or is not done in time, ends the load with an OSError (`TimeoutError` is one).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import resource
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvloop

from benchmarks.forms import RAW, Form

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.I)
LEAST = 4  # answers per client in a closed loop's window, however slow the machine is
_BUFFER = 1 << 20  # bytes; a whole mask fits


@dataclass(frozen=True, slots=True)
class Target:
    """`POST path` on this machine's `port`. `patience`: seconds that a load may last beyond its window."""

    port: int
    path: str = "/v1/segment"
    patience: float = 600
    form: Form = RAW


@dataclass(frozen=True, slots=True)
class Answer:
    """`photo` is the position in the list that was sent; times are on the monotonic clock, in seconds."""

    photo: int
    status: int
    since: float
    end: float
    digest: bytes = b""

    @property
    def seconds(self) -> float:
        return self.end - self.since


@dataclass(slots=True)
class Outcome:
    """`answers` in the order of their ends; `bodies` holds each distinct mask of each photo once.

    `window`: begin and end of what counts; `images_per_s`: masks that came within it, whenever they were asked for;
    `seconds` and `masks`: how long the whole load took and how many came of it, ramp and tail too.
    """

    window: tuple[float, float] = (0.0, 0.0)
    images_per_s: float = 0.0
    seconds: float = 0.0
    masks: int = 0
    answers: list[Answer] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    bodies: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    client_cores: float = 0.0

    def latencies(self, status: int = 200) -> list[float]:
        return sorted(answer.seconds for answer in self.answers if answer.status == status)

    def statuses(self) -> dict[int, int]:
        return dict(Counter(answer.status for answer in self.answers))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank; 0.0 of nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Sender:
    """Sends the photos of one load and gathers what comes back."""

    def __init__(self, target: Target, photos: Sequence[bytes]) -> None:
        self.target = target
        self.outcome = Outcome()
        self.requests = [_request(target, body) for body in photos]
        self._open: set[Connection] = set()

    def since(self, begin: float) -> int:
        return sum(answer.end >= begin for answer in self.outcome.answers)

    async def connect(self) -> Connection:
        connection = Connection(await asyncio.open_connection("127.0.0.1", self.target.port, limit=_BUFFER))
        self._open.add(connection)
        return connection

    def close(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()

    def close_all(self) -> None:
        """However the load ended."""
        for connection in list(self._open):
            self.close(connection)

    async def send(self, connection: Connection, photo: int, since: float) -> Connection:
        """One request. Returns the connection for the next one: a new one when this one is of no more use."""
        try:
            head, body, alive = await connection.ask(self.requests[photo])
        except (OSError, asyncio.IncompleteReadError) as error:
            self.outcome.errors[type(error).__name__] += 1
            self.close(connection)
            return await self.connect()
        self._keep(photo, head, body, since)
        if alive:
            return connection
        self.close(connection)
        return await self.connect()

    def _keep(self, photo: int, head: bytes, body: bytes, since: float) -> None:
        end, status, digest = time.monotonic(), int(head[9:12]), b""
        if status == 200:
            mask = self.target.form.unpack(head, body)
            digest = hashlib.blake2b(mask, digest_size=8).digest()
            self.outcome.bodies.setdefault((photo, digest), mask)
        self.outcome.answers.append(Answer(photo, status, since, end, digest))


class Connection:
    """One kept-alive connection."""

    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self._reader, self._writer = streams

    async def ask(self, request: bytes) -> tuple[bytes, bytes, bool]:
        """Head, body, and whether the connection lives on."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await self._reader.readexactly(int(length[1])) if length else b""
        return head, body, _CLOSES.search(head) is None

    def close(self) -> None:
        """At once, with what was not sent yet."""
        self._writer.transport.abort()


def _request(target: Target, body: bytes) -> bytes:
    kind, packed = target.form.pack(body)
    lines = [f"POST {target.path} HTTP/1.1", "Host: 127.0.0.1", *kind, f"Content-Length: {len(packed)}", "", ""]
    return "\r\n".join(lines).encode() + packed


def closed(target: Target, photos: Sequence[bytes], clients: int, warm: float, seconds: float) -> Outcome:
    """`clients` that each ask again as soon as they are answered. What counts is answered in the window: those that
    are still inside at its end come out faster than under load."""
    outcome = _run(target, photos, warm, seconds, lambda sender, end: _loops(sender, clients, end - seconds, end))
    begin, stop = outcome.window
    outcome.answers = [answer for answer in outcome.answers if begin <= answer.end <= stop]
    return outcome


def opened(target: Target, photos: Sequence[bytes], rate: float, warm: float, seconds: float, seed: int = 7) -> Outcome:
    """Arrivals at `rate` per second, exponential gaps, whether or not anybody has been answered.

    Latency counts from the moment a request was due: a client that comes late does not hide a slow server. What counts
    was due in the window, however late its answer.
    """
    draw = random.Random(seed)
    outcome = _run(target, photos, warm, seconds, lambda sender, end: _arrivals(sender, rate, end, draw))
    begin = outcome.window[0]
    outcome.answers = [answer for answer in outcome.answers if begin <= answer.since]
    return outcome


def burst(target: Target, photos: Sequence[bytes]) -> Outcome:
    """All photos at once, each on its own connection, which stands before the clock starts."""
    return _run(target, photos, 0, 0, lambda sender, end: _burst(sender))


async def _loops(sender: Sender, clients: int, begin: float, end: float) -> None:
    turn = _turns(len(sender.requests))
    least = LEAST * clients

    async def loop() -> None:
        connection = await sender.connect()
        while (now := time.monotonic()) < end or sender.since(begin) < least:
            sender.outcome.window = (begin, now)
            connection = await sender.send(connection, next(turn), now)

    await asyncio.gather(*(loop() for _ in range(clients)))


async def _arrivals(sender: Sender, rate: float, end: float, draw: random.Random) -> None:
    turn = _turns(len(sender.requests))
    idle: list[Connection] = []
    tasks: set[asyncio.Task[None]] = set()

    async def one(photo: int, due: float) -> None:
        connection = idle.pop() if idle else await sender.connect()
        idle.append(await sender.send(connection, photo, due))

    due = time.monotonic()
    while due < end:
        await asyncio.sleep(max(due - time.monotonic(), 0))
        task = asyncio.create_task(one(next(turn), due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due += draw.expovariate(rate)
    await asyncio.gather(*tasks)


async def _burst(sender: Sender) -> None:
    connections = [await sender.connect() for _ in sender.requests]
    since = time.monotonic()
    await asyncio.gather(*(sender.send(one, at, since) for at, one in enumerate(connections)))


def _turns(count: int) -> Iterator[int]:
    while True:
        yield from range(count)


def _run(
    target: Target,
    photos: Sequence[bytes],
    warm: float,
    seconds: float,
    work: Callable[[Sender, float], Awaitable[None]],
) -> Outcome:
    sender = Sender(target, photos)

    async def whole() -> None:
        try:
            async with asyncio.timeout(warm + seconds + target.patience):
                await work(sender, time.monotonic() + warm + seconds)
        finally:
            sender.close_all()

    began = time.monotonic()
    with _cores(sender.outcome), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())
    outcome = sender.outcome
    outcome.seconds = time.monotonic() - began
    outcome.masks = len(outcome.latencies())
    begin, stop = outcome.window if outcome.window[1] else (began + warm, began + warm + seconds)
    outcome.window = (begin, stop)
    if stop > begin:
        outcome.images_per_s = sum(answer.status == 200 and begin <= answer.end <= stop for answer in outcome.answers)
        outcome.images_per_s /= stop - begin
    return outcome


@contextmanager
def _cores(outcome: Outcome) -> Iterator[None]:
    def spent() -> float:
        use = resource.getrusage(resource.RUSAGE_SELF)
        return use.ru_utime + use.ru_stime

    began, before = time.monotonic(), spent()
    yield
    outcome.client_cores = (spent() - before) / (time.monotonic() - began)
