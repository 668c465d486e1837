"""The protocol as built, step by step, and shorter designs that each leave out one part of it (ADR 0001).

A twin is the real code with one step replaced. The traces of `test_designs.py` break the twins and not the real one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from shared.delivery import POISON_MESSAGE, Claim, Refusal, Verdict
from shared.events import SegmentRequested
from shared.ports import ObjectInfo
from shared.prediction import Phase, Prediction, Reason, State, from_data
from tests.domain import Message, Worker, World


@dataclass
class AsBuilt:
    """Two workers, one queue without a sweep, one document. `terminal` remembers the first end of each photo."""

    world: World
    terminal: dict[str, Prediction] = field(default_factory=dict)

    def photo(self, name: str = "users/ana/cat.png") -> Prediction:
        return self.world.queued(name)

    def deliver(self, prediction: Prediction, version: str = "A", alone: bool = True) -> Worker | None:
        """A push of the photo's message. It leaves the queue when the answer is an ack."""
        answer = self.world.claim(prediction, version, alone)
        if isinstance(answer, Worker):
            return answer
        if self.acks(answer):
            self.ack(prediction)
        self.look()
        return None

    def acks(self, refusal: Refusal) -> bool:
        return refusal.verdict not in (Verdict.BUSY, Verdict.ALONE)

    def put(self, worker: Worker) -> None:
        worker.store()

    def commit(self, worker: Worker) -> None:
        worker.commit()
        self.look()

    def finish(self, worker: Worker) -> None:
        """Object, then document, then ack."""
        self.put(worker)
        self.commit(worker)
        self.ack(worker.held.prediction)

    def ack(self, prediction: Prediction) -> None:
        messages = self.world.queue.messages
        messages[:] = [one for one in messages if _about(one) != prediction.id]

    def give_up(self, prediction: Prediction) -> None:
        """The message's attempts are used up."""
        for message in [one for one in self.world.queue.messages if _about(one) == prediction.id]:
            self.world.queue.messages.remove(message)
            self.bury(message)
        self.look()

    def bury(self, message: Message) -> None:
        self.world.bury(message)

    def look(self) -> None:
        for row in self.world.documents.query("predictions"):
            one = from_data(row.data)
            if one.state.terminal:
                self.terminal.setdefault(one.id, one)

    def broken(self, prediction: Prediction) -> set[str]:
        """M: an end changed. C: no bytes of the recorded model. L: lost. N: failed although it was never at fault."""
        now = self.world.get(prediction.id)
        first, found = self.terminal.get(prediction.id, now), set()
        if first.state.terminal and (first.state, first.model, first.result) != (now.state, now.model, now.result):
            found.add("M")
        if now.state is State.SUCCEEDED and self._bytes(now) != now.model["version"]:
            found.add("C")
        if not now.state.terminal and all(_about(one) != prediction.id for one in self.world.queue.messages):
            found.add("L")
        if now.state is State.FAILED:
            found.add("N")
        return found

    def _bytes(self, prediction: Prediction) -> str:
        names = [info.name for info in self.world.objects.list("results")]
        name = prediction.result["object"]
        return self.world.objects.get("results", name).decode() if name in names else ""


def _about(message: Message) -> str:
    return SegmentRequested.from_message(message[1], message[2]).prediction_id


class AckOnReceipt(AsBuilt):
    def deliver(self, prediction: Prediction, version: str = "A", alone: bool = True) -> Worker | None:
        worker = super().deliver(prediction, version, alone)
        self.ack(prediction)
        return worker


class BusyIsAcked(AsBuilt):
    def acks(self, refusal: Refusal) -> bool:
        return True


class DocumentFirst(AsBuilt):
    def put(self, worker: Worker) -> None:
        """Too early: the document comes first. `commit` stores nothing, and a crash after it leaves nothing behind."""
        name = f"predictions/{worker.held.prediction.id}/mask.png"
        worker.stored = replace(_info(self.world), name=name)


class NoClaim(AsBuilt):
    """Whoever gets the message works, and writes the outcome over whatever is there."""

    def deliver(self, prediction: Prediction, version: str = "A", alone: bool = True) -> Worker | None:
        running = replace(
            self.world.get(prediction.id), state=State.RUNNING, phase=Phase.DECODING, model={"version": version}
        )
        return Worker(self.world, Claim(running, 1, self.world.now))

    def put(self, worker: Worker) -> None:
        put_on_one_path(self.world, worker)

    def commit(self, worker: Worker) -> None:
        overwrite(self.world, worker)
        self.look()


class NoFence(AsBuilt):
    """A lease, but the outcome is written whoever holds it by now, and one path for all."""

    def put(self, worker: Worker) -> None:
        put_on_one_path(self.world, worker)

    def commit(self, worker: Worker) -> None:
        overwrite(self.world, worker)
        self.look()


class SharedPath(AsBuilt):
    def put(self, worker: Worker) -> None:
        put_on_one_path(self.world, worker)


class BlindDeadLetters(AsBuilt):
    """Also what a low limit of attempts means: a 429 is a nack."""

    def bury(self, message: Message) -> None:
        failed = {"error": {"reason": Reason.POISON.value, "message": POISON_MESSAGE}}
        self.world.change(_about(message), state=State.FAILED, lease_expire_time=None, result={}, **failed)


class NobodyReadsDeadLetters(AsBuilt):
    def bury(self, message: Message) -> None:
        pass


class LastChanceInCompany(AsBuilt):
    def deliver(self, prediction: Prediction, version: str = "A", alone: bool = True) -> Worker | None:
        return super().deliver(prediction, version, True)


class EndsChange(AsBuilt):
    """A commit looks at the fence only, not at what has ended meanwhile."""

    def commit(self, worker: Worker) -> None:
        if self.world.get(worker.held.prediction.id).fence == worker.held.fence:
            overwrite(self.world, worker)
        self.look()


def overwrite(world: World, worker: Worker) -> None:
    held, info = worker.held.prediction, worker.stored
    result = {"bucket": info.bucket, "object": info.name, "generation": info.generation}
    world.change(held.id, state=State.SUCCEEDED, phase=Phase.DONE, model=held.model, result=result, error={})


def put_on_one_path(world: World, worker: Worker) -> None:
    name = f"predictions/{worker.held.prediction.id}/mask.png"
    mask = str(worker.held.prediction.model["version"]).encode()
    worker.stored = world.objects.put("results", name, mask, "image/png")


def _info(world: World) -> ObjectInfo:
    return world.objects.stat("uploads", "users/ana/cat.png")
