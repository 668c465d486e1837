"""The whole flow as one deterministic simulation: the real accept, container, protocol, settle and the broker's real
rules, over stores in memory, by virtual time, with faults from a seed. One seed is one schedule, always the same.

A process is a set of tasks; what it does to the world goes through ports that may fail, wait, or end it. After `kill`
none of its tasks does anything any more, in whatever line of code it was: that is `kill -9`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from random import Random
from typing import Any, TypeVar, cast

from starlette.requests import Request

from inference_container.claims import Claims
from inference_container.manifest import Manifest
from inference_container.pipeline import UNKNOWN, Ledger, Pipeline, Size
from inference_container.push import Push as ContainerPush
from inference_container.segmented import Encoded, Job, Segmented
from inference_container.service import Service
from local.broker.queue import Delivery, DeliveryQueue, Lease, Message, Outcome
from local.broker.routes import Route, routes_of
from shared import envelope, pipeline, settle
from shared.accept import accept_all
from shared.adapters.local.services import LocalServices
from shared.envelope import Push
from shared.errors import Malformed, MasklineError, Rejected
from shared.events import FINALIZED, Uploaded
from shared.gathering import Gathering
from shared.logs import Log
from shared.outcomes import at_once
from shared.ports import Document, Messages, ObjectInfo, Waiting
from shared.prediction import COLLECTION, State
from shared.runtime import Runtime
from shared.settings import Settings
from tests.chaos.faults import Fault, FaultyDocuments, FaultyObjects, FaultyServices, FaultyTopics, Plan, drawn
from tests.chaos.history import RANK
from tests.chaos.memory import MemoryDocuments, MemoryObjects
from tests.chaos.virtual import BEGIN, Loop, blocking, wait
from tests.domain import OneByOne

T = TypeVar("T")
FIRST, LAST = "accept", "settle"
_ENDPOINTS = {stage: f"http://{stage}" for stage in ("accept", "settle", "segment")}
_TABLE = pipeline.load()
_QUIET = Log("simulation", "ERROR", write=lambda line: None)
_LATENCY, _SLOW = 0.004, 6.0  # s that a call takes: mean of the usual ones, most of the slow ones
UNREACHABLE = 0, 0.0  # the answer of a process that died


@dataclass(frozen=True)
class Weather:
    """What goes wrong, until the simulation says that it is over. Rates are per call or message."""

    rates: Mapping[Fault, float] = field(default_factory=dict)
    duplicate: float = 0.0  # deliveries that come once more, at once or up to two leases after they were acked
    reorder: float = 0.0  # s by which a message may be late
    lost_events: float = 0.0  # upload notifications that never come
    skew: float = 0.0  # s by which a process's clock may be wrong, both ways


class Process:
    """One process of a stage: its tasks, its clock, its ports."""

    def __init__(self, world: Simulation, stage: str) -> None:
        self.world = world
        self.stage = stage
        self.skew = world.random.uniform(-world.weather.skew, world.weather.skew)
        self.dead: asyncio.Future[None] = world.loop.create_future()
        self.paused_until = 0.0
        self.cut_off_until = 0.0
        self.runtime = self._wrapped()

    def _wrapped(self) -> Runtime:
        world = self.world
        plan = Plan(self._choose, self.kill_now, self._pause, world.called, world.injected)
        documents = FaultyDocuments(world.documents, plan)
        services = FaultyServices(LocalServices(world.documents), plan)
        objects, topics = FaultyObjects(world.objects, plan), FaultyTopics(world.broker, plan)
        return Runtime(world.settings, documents, objects, topics, services)

    def _choose(self, name: str) -> Fault:
        if self.world.loop.time() < self.cut_off_until:
            return Fault.BEFORE
        return self.world.choose(name)

    def _pause(self, slow: bool) -> None:
        """What every call costs; a paused process waits here, a dead one for ever."""
        world = self.world
        wait(asyncio.sleep(world.random.expovariate(1 / _LATENCY) + (world.random.uniform(0, _SLOW) if slow else 0)))
        while world.loop.time() < self.paused_until:
            wait(asyncio.sleep(self.paused_until - world.loop.time()))
        if self.dead.done():
            wait(world.loop.create_future())
        world.loop.skew = self.skew

    def kill(self) -> None:
        if not self.dead.done():
            self.world.happened["kill"] += 1
            self.dead.set_result(None)

    def kill_now(self) -> None:
        """From inside: this very call never returns."""
        self.kill()
        wait(self.world.loop.create_future())

    async def answer(self, work: Coroutine[Any, Any, tuple[int, float]]) -> tuple[int, float]:
        """Status and Retry-After, or nothing if the process dies before."""
        task = asyncio.ensure_future(work)
        self.world.tasks.append(task)
        either: set[asyncio.Future[Any]] = {task, self.dead}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else UNREACHABLE


class ThreadlessGathering(Gathering[Uploaded, None]):
    """Its work as a task that goes on when nobody waits for it any more, as a thread does."""

    world: Simulation

    async def _worked(self, items: Sequence[Uploaded]) -> Sequence[Exception | None]:
        task = asyncio.ensure_future(blocking(at_once, self._work, items))
        self.world.tasks.append(task)
        return await asyncio.shield(task)


class Function(Process):
    """accept or settle: blocking code behind an HTTP server."""

    def __init__(self, world: Simulation, stage: str) -> None:
        super().__init__(world, stage)
        self._accepting = ThreadlessGathering(partial(accept_all, self.runtime, _QUIET))
        self._accepting.world = world

    async def push(self, delivery: Push) -> tuple[int, float]:
        return await self.answer(self._run(delivery))

    async def _run(self, delivery: Push) -> tuple[int, float]:
        try:
            if self.stage == FIRST:
                event = Uploaded.from_message(delivery.data, delivery.attributes)
                await self._accepting.run(event)
            else:
                await blocking(settle.settle, self.runtime, delivery, _QUIET)
        except Malformed:
            return 204, 0.0  # as `functions/accept/main.py`: logged and acked
        except MasklineError:
            return 500, 0.0
        return 204, 0.0


class ThreadlessClaims(Claims):
    """Blocking calls as tasks that go on when nobody waits for them any more, as threads do."""

    world: Simulation

    async def _blocking(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        task = asyncio.ensure_future(blocking(call, *arguments, **named))
        self.world.tasks.append(task)
        return await asyncio.shield(task)


@dataclass
class Model:
    """A stub whose mask says which version made it, and of which bytes. Photos that hold POISON kill the process."""

    process: Container
    manifest: Manifest

    def coming(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def segment(self, job: Job, ledger: Ledger, size: Size = UNKNOWN, exclusive: bool = False) -> Segmented:
        world = self.process.world
        world.runs[hashlib.sha256(job.data).hexdigest()] += 1
        await asyncio.sleep(world.random.uniform(*world.work))
        if POISON in job.data:
            self.process.kill()
            await world.loop.create_future()
        if BAD in job.data:
            raise Rejected("CORRUPT_IMAGE", "it does not decode")
        mask = stamp(self.manifest.version, job.data)
        return Segmented("image/png", 40, 30, Encoded(mask, hashlib.sha256(mask).hexdigest(), []))


POISON, BAD = b"poison", b"does not decode"


def stamp(version: str, data: bytes) -> bytes:
    return f"{version} {hashlib.sha256(data).hexdigest()}".encode()


class Container(Process):
    """One instance of the inference container: its real push handler, claims, admission and drain."""

    def __init__(self, world: Simulation, version: str, cold_start: float) -> None:
        super().__init__(world, "segment")
        self.ready_at = world.loop.time() + cold_start
        self.service = Service(world.settings, _QUIET, lambda: None)
        self.claims = ThreadlessClaims(self.runtime, 4)
        self.claims.world = world
        manifest = Manifest("toy", version, "compact-v1", (), 64, 2, {})
        self.service._pipeline.set_result(cast(Pipeline, Model(self, manifest)))
        self._push = ContainerPush(self.service, self.claims)

    async def push(self, delivery: Push) -> tuple[int, float]:
        return await self.answer(self._run(delivery))

    async def _run(self, delivery: Push) -> tuple[int, float]:
        body = envelope.encode(delivery, "")

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        response = await self._push.deliver(Request({"type": "http", "method": "POST", "headers": []}, receive))
        return response.status_code, float(response.headers.get("retry-after", 0))

    async def terminate(self) -> None:
        """SIGTERM, five seconds of drain, then the rest is given back; SIGKILL after ten."""
        self.world.happened["sigterm"] += 1
        self.service.stop()
        draining = asyncio.ensure_future(self.claims.drain(5.0))
        self.world.tasks.append(draining)
        await asyncio.sleep(10)
        if not self.dead.done():
            self.dead.set_result(None)


class Broker(OneByOne):
    """The embedded broker's own queues and routes, with pushes that are calls."""

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self.routes = routes_of(_TABLE, world.settings, _ENDPOINTS)
        self.queues = {route.name: DeliveryQueue(route.policy) for route in self.routes}
        self.dead_lettered: Counter[str] = Counter()
        self.lost = False
        self.since = world.loop.now
        self._numbers = count(1)
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        now = self.world.loop.time()
        message = Message(str(next(self._numbers)), topic, data, dict(attributes), now)
        for route in self.routes:
            if route.topic == topic and route.matches(message.attributes):
                late = self.world.random.uniform(0, self.world.weather.reorder)
                self.queues[route.name].offer(Delivery(next(self._numbers), message, due=now + late))
                self._pump(route)
        return message.id

    def restart(self) -> None:
        """`kill -9` of the broker: what was being pushed is pushed again, what was acked lately, too."""
        self.world.happened["broker restart"] += 1
        self.since = self.world.loop.now
        for route in self.routes:
            held = list(self.queues[route.name].held)
            self.queues[route.name] = DeliveryQueue(route.policy)
            for delivery in held:
                self.queues[route.name].offer(Delivery(next(self._numbers), delivery.message, delivery.attempts))
            self._pump(route)

    def lose(self) -> None:
        """The queue's data is gone; the next tick says so."""
        self.world.happened["queue lost"] += 1
        self.queues = {route.name: DeliveryQueue(route.policy) for route in self.routes}
        self.since = self.world.loop.now
        self.lost = True

    def tick(self) -> None:
        self.publish("sweep", b"", {"queueLost": "true"} if self.lost else {})

    def backlog(self, topic: str) -> int:
        return sum(self.queues[route.name].backlog for route in self.routes if route.topic == topic)

    def look(self) -> Messages:
        waiting = [
            Waiting(
                name, held.message.id, held.message.attributes, BEGIN + timedelta(seconds=held.message.publish_time)
            )
            for name, queue in self.queues.items()
            for held in queue.held
        ]
        return Messages(self.world.loop.now, self.since, waiting)

    def _pump(self, route: Route) -> None:
        queue, now = self.queues[route.name], self.world.loop.time()
        for lease, outcome in queue.expire_leases(now):
            self._nacked(route, lease, outcome)
        for lease in queue.lease(now):
            self.world.spawn(self._push(route, queue, lease))
        self._sleep(route, queue.next_time())

    def _sleep(self, route: Route, until: float | None) -> None:
        if (timer := self._timers.pop(route.name, None)) is not None:
            timer.cancel()
        if until is not None:
            self._timers[route.name] = self.world.loop.call_at(until, self._pump, route)

    async def _push(self, route: Route, queue: DeliveryQueue, lease: Lease) -> None:
        message, weather, random = lease.delivery.message, self.world.weather, self.world.random
        push = Push(message.data, message.attributes, message.id, route.name, lease.attempt)
        if random.random() < weather.duplicate:
            self.world.spawn(self._again(route, push, random.choice([0.0, random.uniform(0, 2 * LEASE)])))
        status, retry_after = await self.world.deliver(route, push)
        if 200 <= status < 300:
            acked = queue.ack(lease)
            if acked and "queueLost" in message.attributes:
                self.lost = False
        else:
            busy = status == 429
            self._nacked(route, lease, queue.nack(lease, self.world.loop.time(), retry_after, busy))
        if queue is self.queues[route.name]:
            self._pump(route)

    async def _again(self, route: Route, push: Push, later: float) -> None:
        """A duplicate, whose answer nobody waits for."""
        self.world.happened["duplicate"] += 1
        await asyncio.sleep(later)
        await self.world.deliver(route, push)

    def _nacked(self, route: Route, lease: Lease, outcome: Outcome) -> None:
        if outcome is Outcome.DEAD:
            self.dead_lettered[route.name] += 1
            source = {"CloudPubSubDeadLetterSourceDeliveryCount": str(lease.attempt)}
            message = lease.delivery.message
            self.publish(route.dead_letter, message.data, {**message.attributes, **source})


LEASE = 4.0  # s
SETTINGS: Mapping[str, object] = {
    "lease_seconds": LEASE,
    "sweep_seconds": 4,
    "ack_deadline_seconds": 8,
    "cache": False,
    "max_claims": 50,  # kills charge claims: what poison gets is a scenario of its own
}


class Simulation:
    """The world. `work`: s that the model takes at least and at most; `calm()` ends the weather."""

    def __init__(self, loop: Loop, seed: int, weather: Weather, containers: int = 2, **settings: object) -> None:
        self.loop = loop
        self.random = Random(seed)
        self.weather = weather
        self.settings = Settings.from_env({}, **(dict(SETTINGS) | settings))
        self.work = (0.01, 0.3)
        self.cold_start = (0.5, 2.0)
        self.called: Counter[str] = Counter()
        self.injected: Counter[Fault] = Counter()
        self.happened: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()  # sha256 of a photo → how often a model saw it
        self.commits: Counter[str] = Counter()
        self.uploads: dict[int, tuple[ObjectInfo, bytes]] = {}  # by generation
        self.tasks: list[asyncio.Future[Any]] = []
        self.documents = MemoryDocuments(lambda: loop.now, self._written)
        self.objects = MemoryObjects(lambda: loop.now, self._notify)
        self.broker = Broker(self)
        self.choose = drawn(self.random, weather.rates)
        self.versions = "AB"
        self.most = containers
        self.containers: list[Container] = []
        self.functions: dict[str, Function] = {}
        self.spawn(self._ticks())

    # -- what people do

    def upload(self, name: str, data: bytes) -> Uploaded:
        info = self.objects.put("uploads", name, data, "image/png")
        self.uploads[info.generation] = info, data
        return Uploaded(info.bucket, info.name, info.generation)

    def calm(self) -> None:
        self.weather = Weather()
        self.choose = lambda name: Fault.NONE
        for process in [*self.containers, *self.functions.values()]:
            process.cut_off_until = process.paused_until = 0.0

    @property
    def runtime(self) -> Runtime:
        """The stores as they are, for those who only look."""
        return Runtime(self.settings, self.documents, self.objects, self.broker, LocalServices(self.documents))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Virtual seconds."""
        end = self.loop.time() + seconds
        while not condition() and self.loop.time() < end:
            await asyncio.sleep(0.5)
        return condition()

    def states(self) -> Counter[str]:
        return Counter(row.data["state"] for path, row in self.documents.rows.items() if path.startswith(COLLECTION))

    def at_rest(self) -> bool:
        """Every photo that is still there has a prediction, and all predictions have ended. A generation that was
        written over before anybody heard of it leaves no trace: there is nothing left to segment."""
        rows = [row.data for path, row in self.documents.rows.items() if path.startswith(COLLECTION)]
        known = {row["generation"] for row in rows}
        live = {info.generation for info in self.objects.list("uploads")}
        return live <= known and all(State(row["state"]).terminal for row in rows)

    # -- what the world does

    async def deliver(self, route: Route, push: Push) -> tuple[int, float]:
        stage = route.endpoint.removeprefix("http://")
        if stage != "segment":
            return await self._function(stage).push(push)
        container = await self._container()
        return await container.push(push) if container else (429, 1.0)

    def _function(self, stage: str) -> Function:
        if stage not in self.functions or self.functions[stage].dead.done():
            self.functions[stage] = Function(self, stage)
        return self.functions[stage]

    async def _container(self) -> Container | None:
        """A ready one, started if there are too few; who waits for too long is refused."""
        self.containers = [one for one in self.containers if not one.dead.done()]
        able = [one for one in self.containers if not one.service.stopped.is_set()]
        if len(able) < self.most:
            cold = self.random.uniform(*self.cold_start)
            self.containers.append(Container(self, self.random.choice(self.versions), cold))
            able.append(self.containers[-1])
        chosen = self.random.choice(able)
        if (cold := chosen.ready_at - self.loop.time()) > 0:
            await asyncio.sleep(cold)
        return None if chosen.dead.done() else chosen

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(self.settings.sweep_seconds)
            self.broker.tick()

    def _notify(self, info: ObjectInfo) -> None:
        if self.random.random() < self.weather.lost_events:
            self.happened["event lost"] += 1
            return
        attributes = {
            "eventType": FINALIZED,
            "bucketId": info.bucket,
            "objectId": info.name,
            "objectGeneration": str(info.generation),
        }
        self.broker.publish("uploads", b"", attributes)

    def _written(self, before: Document | None, after: Document | None) -> None:
        """Looks at every single write: states only move forward, an end stays what it is."""
        if after is None or not after.path.startswith(f"{COLLECTION}/") or before is None:
            return
        was, now = State(before.data["state"]), State(after.data["state"])
        assert RANK.get(was, 3) <= RANK.get(now, 3), f"{was} → {now}"
        assert before.data["fence"] <= after.data["fence"]
        if was.terminal:
            same = ("state", "result", "error", "model")
            assert after.data["deleted"] or all(before.data[key] == after.data[key] for key in same), "an end changed"
        elif now is State.SUCCEEDED:
            self.commits[after.path] += 1


def caught(tasks: Sequence[Awaitable[Any]]) -> list[BaseException]:
    """What tasks died of, beside being ended."""
    done = [one for one in tasks if isinstance(one, asyncio.Future) and one.done() and not one.cancelled()]
    errors = [error for one in done if (error := one.exception()) is not None]
    return [error for error in errors if not isinstance(error, MasklineError | asyncio.CancelledError)]
