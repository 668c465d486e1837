"""The domain over real local stores: a clock that tests turn, a queue that they look into, answers that get lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from shared import delivery, ids, ports, settle
from shared.accept import accept, publish
from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects
from shared.adapters.local.services import LocalServices
from shared.delivery import Claim, Refusal
from shared.envelope import Push
from shared.errors import Conflict, Retryable
from shared.events import FINALIZED, SegmentRequested, Uploaded
from shared.logs import Log
from shared.outcomes import each
from shared.ports import Data, Document, ObjectInfo, Where
from shared.prediction import Prediction, State
from shared.runtime import Runtime, Together
from shared.settings import Settings


def photo(width: int = 40, height: int = 30, format: str = "PNG") -> bytes:
    out = BytesIO()
    Image.new("RGB", (width, height), (90, 120, 60)).save(out, format)
    return out.getvalue()


PHOTO = photo()


@dataclass
class Steered:
    """Documents whose clock runs `ahead`, and whose next write happens although its caller is told `lost`."""

    documents: LocalDocuments
    ahead: timedelta = timedelta()
    lost: Exception | None = None

    def get(self, path: str) -> Document | None:
        found = self.documents.get(path)
        return found and replace(found, read_time=found.read_time + self.ahead)

    def create(self, path: str, data: Data) -> Document:
        return self._answer(self.documents.create(path, data))

    def replace(self, path: str, data: Data, version: str) -> Document:
        return self._answer(self.documents.replace(path, data, version))

    def delete(self, path: str, version: str | None = None) -> None:
        self.documents.delete(path, version)

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[tuple[str, Literal["asc", "desc"]]] = (),
        limit: int = 100,
        after: Sequence[Any] | None = None,
    ) -> list[Document]:
        return self.documents.query(collection, where, order_by, limit, after)

    def watch(self, path: str) -> AsyncIterator[Document | None]:
        return self.documents.watch(path)

    def _answer(self, written: Document) -> Document:
        lost, self.lost = self.lost, None
        if lost is not None:
            raise lost
        return written


Message = tuple[str, bytes, dict[str, str]]  # topic, data, attributes


class OneByOne:
    """Of topics that publish: many as one after the other."""

    publish: Callable[[str, bytes, Mapping[str, str]], str]

    def publish_all(self, topic: str, messages: Sequence[ports.Message]) -> list[str | Exception]:
        return each(lambda message: self.publish(topic, *message), messages)


@dataclass
class Queue(OneByOne):
    """Topics that remember; while `down`, nothing is published."""

    messages: list[Message] = field(default_factory=list)
    down: bool = False

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        if self.down:
            raise Retryable("the queue cannot be reached now")
        self.messages.append((topic, data, dict(attributes)))
        return str(len(self.messages))

    @property
    def requests(self) -> list[SegmentRequested]:
        return [SegmentRequested.from_message(data, attributes) for _, data, attributes in self.messages]


@dataclass
class World:
    settings: Settings
    documents: Steered
    objects: LocalObjects
    queue: Queue = field(default_factory=Queue)
    logged: list[str] = field(default_factory=list)

    @property
    def runtime(self) -> Runtime:
        services = LocalServices(self.documents)
        return Runtime(self.settings, self.documents, self.objects, self.queue, services, self.together)

    @property
    def together(self) -> Together:
        return Together(self.documents.documents.together, self.objects.together)

    @property
    def log(self) -> Log:
        return Log("test", write=self.logged.append)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.documents.ahead

    def wait(self, seconds: float) -> None:
        self.documents.ahead += timedelta(seconds=seconds)

    def wait_for_lease(self) -> None:
        self.wait(self.settings.lease_seconds + 1)

    def upload(self, name: str = "users/ana/cat.png", data: bytes = PHOTO) -> Uploaded:
        info = self.objects.put("uploads", name, data, "image/png")
        return uploaded(info)

    def accept(self, event: Uploaded) -> None:
        accept(self.runtime, event, self.log)

    def queued(self, name: str = "users/ana/cat.png", data: bytes = PHOTO) -> Prediction:
        """A copied photo that was accepted and is on the queue."""
        event = self.upload(name, data)
        self.accept(event)
        return self.get(copied_id(event))

    def sweep(self, queue_lost: bool = False, skew: float = 0.0) -> None:
        """`skew`: s by which settle's own clock is ahead of the store's."""
        settle.sweep(self.runtime, self.log, queue_lost, self.now + timedelta(seconds=skew))

    def bury(self, message: Message) -> None:
        """The message's attempts are used up: settle gets it as a dead letter."""
        _, data, attributes = message
        source = {"CloudPubSubDeadLetterSourceDeliveryCount": "100"}
        settle.settle(self.runtime, Push(data, attributes | source), self.log)

    def bury_event(self, event: Uploaded) -> None:
        """An upload's notification was refused too often."""
        attributes = {
            "eventType": FINALIZED,
            "bucketId": event.bucket,
            "objectId": event.object,
            "objectGeneration": str(event.generation),
        }
        settle.settle(self.runtime, Push(b"", attributes), self.log)

    def get(self, prediction_id: str) -> Prediction:
        snapshot = self.runtime.store.get(prediction_id)
        assert snapshot is not None
        return snapshot.prediction

    def change(self, prediction_id: str, **changes: Any) -> Prediction:
        changed = self.runtime.store.update(prediction_id, lambda stored, _: replace(stored, **changes))
        assert changed is not None
        return changed

    def claim(self, prediction: Prediction, version: str = "A", alone: bool = True) -> Worker | Refusal:
        """One delivery, up to the claim."""
        taken = delivery.claim(
            self.runtime.store,
            prediction.id,
            prediction.generation,
            lease=timedelta(seconds=self.settings.lease_seconds),
            max_claims=self.settings.max_claims,
            model={"name": "starter", "version": version},
            alone=alone,
        )
        return Worker(self, taken) if isinstance(taken, Claim) else taken

    def worker(self, prediction: Prediction, version: str = "A") -> Worker:
        taken = self.claim(prediction, version)
        assert isinstance(taken, Worker)
        return taken

    def close(self) -> None:
        self.documents.documents.close()
        self.objects.close()


@dataclass
class Worker:
    """One claim's way through the container, step by step; its mask says which model made it."""

    world: World
    held: Claim

    def store(self) -> None:
        """As the container does: what lies at this claim's path already is this very mask."""
        prediction = self.held.prediction
        name = ids.result_name(prediction.id, prediction.generation, self.held.fence)
        mask = str(prediction.model["version"]).encode()
        try:
            self.stored = self.world.objects.put("results", name, mask, "image/png", if_generation_match=0)
        except Conflict:
            self.stored = self.world.objects.stat("results", name)

    def commit(self) -> bool:
        """False: fenced, and what was stored is deleted."""
        info = self.stored
        result = {"bucket": info.bucket, "object": info.name, "generation": info.generation}
        won = delivery.commit(
            self.world.runtime.store, self.held, self.held.prediction.ended(State.SUCCEEDED, result=result)
        )
        if not won:
            self.world.objects.delete(info.bucket, info.name, info.generation)
        return won

    def finish(self) -> bool:
        self.store()
        return self.commit()

    def give_back(self) -> bool:
        return delivery.give_back(self.world.runtime.store, self.held)

    def give_back_and_publish(self) -> None:
        """As the container does when it is told to stop."""
        if self.give_back():
            publish(self.world.runtime, self.held.prediction)

    def abandon(self) -> None:
        delivery.abandon(self.world.runtime.store, self.held)


def uploaded(info: ObjectInfo) -> Uploaded:
    return Uploaded(info.bucket, info.name, info.generation)


def copied_id(event: Uploaded) -> str:
    return ids.prediction_id_of(event.bucket, event.object, event.generation)


@contextmanager
def world(folder: Path, **settings: Any) -> Iterator[World]:
    chosen = Settings.from_env({}, **{"data": folder, "cache": False} | settings)
    made = World(chosen, Steered(LocalDocuments(folder / "documents.db")), LocalObjects(folder))
    try:
        yield made
    finally:
        made.close()
