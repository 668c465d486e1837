"""Kill torture: random processes of a stack get `kill -9` while photos go through it. 0 lost, 0 committed twice (F1).

`MASKLINE_CHAOS_PHOTOS` and `_KILLS` make it small. Instances run a stub in place of torch, so that most kills hit
work instead of a start; all else is real. A claim that dies with its process counts, so here photos get more
claims than usual: what a photo that kills its worker gets is another test.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from local.runfiles import Process, processes
from shared.prediction import State
from tests.chaos import options
from tests.chaos.history import commits, history
from tests.chaos.stubs import numbered, stub_stack
from tests.e2e.stacks import Stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7200)]
PHOTOS, KILLS = options.count("PHOTOS", 2000), options.count("KILLS", 1000)
STORM = 10  # kills, then calm until photos end: a system that is always starting would only prove that it can start
PAUSE = (0.02, 0.5)  # s between the kills of a storm
CALM = 10.0  # s that a calm lasts at most
AT_WORK = 1.5  # s that an instance may stay idle before it is killed all the same
SENDERS = 6
WEIGHTS = {"inference": 6}  # it is where most happens
PATIENCE = 900.0  # s from the last kill to the last end
SETTINGS = {"MASKLINE_MAX_CLAIMS": "100", "MASKLINE_DEADLINE_SECONDS": "7200"}
STUB = {"STUB_SECONDS": "0.2"}  # per batch: long enough to be hit


class Senders:
    """Send the photos as the kills go by, so that there is work from the first kill to the last."""

    def __init__(self, running: Stack) -> None:
        self.running = running
        self.kills = 0
        self._sent = itertools.count()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(SENDERS)]
        running.user("ada")  # made once, before threads ask for it

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)

    def _run(self) -> None:
        while (number := next(self._sent)) < PHOTOS:
            while number > (self.kills + 10) * PHOTOS / KILLS:
                time.sleep(0.02)
            self._send(number)

    def _send(self, number: int) -> None:
        """Announced through the API, or copied into the bucket."""
        data = numbered(number)
        if number % 2:
            self.running.drop(f"users/ada/{number:05}.png", data)
            return
        client = self.running.user("ada")
        client.upload(client.create("image/png", len(data), f"photo-{number}"), data)


def choose(random: Random, alive: list[Process]) -> Process | None:
    """A victim. `up` is not among them: it has a test of its own."""
    roles = sorted({one.role for one in alive} - {"up", "welcome"})
    if not roles:
        return None
    role = random.choices(roles, [WEIGHTS.get(name, 1) for name in roles])[0]
    return random.choice([one for one in alive if one.role == role])


def kill(victim: Process, at_work: Callable[[], bool], random: Random) -> bool:
    """An instance is hit while it holds claims, if it gets any soon."""
    if victim.role == "inference":
        until = time.monotonic() + AT_WORK
        while not at_work() and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.05))
    try:
        os.kill(victim.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False  # it had ended by itself
    return True


def test_random_kills_lose_nothing_and_commit_nothing_twice(tmp_path: Path) -> None:
    seed, random = options.seeded("torture")
    killed: Counter[str] = Counter()
    data = tmp_path / "data"
    with stub_stack(data, STUB, **SETTINGS) as running, history(data) as seen:
        senders = Senders(running)
        senders.start()
        began = time.monotonic()
        while killed.total() < KILLS:
            for _ in range(min(STORM, KILLS - killed.total())):
                time.sleep(random.uniform(*PAUSE))
                victim = choose(random, processes(data))
                if victim is not None and kill(victim, seen.at_work, random):
                    killed[victim.role] += 1
                    senders.kills = killed.total()
            seen.wait_for_ends(STORM * PHOTOS // KILLS, CALM)
            seen.look()
            print(f"{killed.total()} kills, {seen.ended()} ended, {killed['inference']} instances", flush=True)
        under_fire, calm = seen.ended(), time.monotonic()
        senders.join()
        while seen.ended() < PHOTOS and time.monotonic() - calm < PATIENCE:
            time.sleep(1)
            seen.look()
        seconds = time.monotonic() - began
        assert seen.states() == {State.SUCCEEDED: PHOTOS}
        report = running.audit()
        assert not any(report.values()), report
        masks = seen.check_masks()
        again = sum(one.claims > 1 for one in seen.seen.values())
    twice = [name for name, times in commits(data).items() if times > 1]
    assert twice == []
    figures = {"seed": seed, "photos": PHOTOS, "kills": dict(killed), "lost": PHOTOS - masks, "committedTwice": 0}
    more = {"ended under fire": under_fire, "claimed again": again, "seconds": round(seconds)}
    options.keep("torture", figures | more)
