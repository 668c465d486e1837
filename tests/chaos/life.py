"""`python -m tests.chaos.life DIR`: the life of two photos over the local adapters, one durable step after the other,
to be killed at any system call. Each step that was acknowledged is a line on stdout before the next one begins."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from shared.api.removal import remove
from tests.domain import Worker, World, world


def say(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


def live(domain: World) -> None:
    event = domain.upload("users/ana/cat.png")
    say("uploaded", event.object, str(event.generation))
    domain.accept(event)
    first = domain.queue.requests[0].prediction_id
    say("accepted", first)
    taken = domain.claim(domain.get(first))
    assert isinstance(taken, Worker)
    taken.store()
    assert taken.commit()
    say("succeeded", first)
    second = domain.queued("users/ana/dog.png")
    say("accepted", second.id)
    domain.worker(second).give_back()
    worker = domain.worker(second)
    worker.store()
    remove(domain.runtime, second.id)
    say("deleted", second.id)
    assert not worker.commit()
    domain.sweep()
    say("swept")


if __name__ == "__main__":
    with world(Path(sys.argv[1])) as made:
        say("began")
        live(made)
