"""Soak: valid and hostile photos for a long time through the real container (F30). Memory and descriptors stay where
they are once everything is warm, and no temporary file is left. `MASKLINE_CHAOS_SECONDS`: for how long."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from local.runfiles import processes
from shared.prediction import State
from tests.chaos import options
from tests.chaos.history import history
from tests.e2e.photos import huge, numbered, photo, sideways
from tests.e2e.stacks import QUICK, stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(14_400)]
SECONDS = options.number("SECONDS", 600)
RATE = options.number("RATE", 4)  # photos/s
SAMPLE = 2.0  # s
WARM = 0.3  # of the time; the growth is from the next tenths to the last ones
MOST_GROWTH = 0.05
MOST_DESCRIPTORS = 10  # a busy moment's connections stay open for a minute; a leak would be one for every photo
NOISE = 3 << 20  # bytes: pages that come and go in a small process


@dataclass
class Watch:
    """Resident bytes and descriptors of every process, over time."""

    resident: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    descriptors: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))

    def sample(self, data: Path, at: float) -> None:
        for one in processes(data):
            try:
                pages = int(Path(f"/proc/{one.pid}/statm").read_text().split()[1])
                self.resident[one.role].append((at, pages * os.sysconf("SC_PAGE_SIZE")))
                self.descriptors[one.role].append((at, len(os.listdir(f"/proc/{one.pid}/fd"))))
            except OSError:
                continue

    @staticmethod
    def part(rows: list[tuple[float, int]], since: float, until: float) -> list[int]:
        return [value for at, value in rows if since <= at <= until]


def growth(watch: Watch, seconds: float) -> dict[str, float]:
    """By role: median of the last 30 % of the time over the median of the 30 % after the warm-up, minus 1."""
    grown = {}
    for role, rows in watch.resident.items():
        before, after = medians(watch, rows, seconds)
        grown[role] = 0.0 if after - before < NOISE else after / before - 1
    return grown


def more_descriptors(watch: Watch, seconds: float) -> dict[str, float]:
    """By role, in the same way: what stays open. Connections of a moment's load come and go."""
    pairs = {role: medians(watch, rows, seconds) for role, rows in watch.descriptors.items()}
    return {role: after - before for role, (before, after) in pairs.items()}


def medians(watch: Watch, rows: list[tuple[float, int]], seconds: float) -> tuple[float, float]:
    before = statistics.median(watch.part(rows, WARM * seconds, 2 * WARM * seconds))
    return before, statistics.median(watch.part(rows, (1 - WARM) * seconds, seconds))


def hostile(random: Random) -> bytes:
    """Another one each time: truncated, flipped, noise behind a true header, too many pixels, no photo at all."""
    whole = photo("chelsea", (400, 300), random.choice(["JPEG", "PNG", "WEBP"]))
    kinds: list[Callable[[], bytes]] = [
        lambda: whole[: random.randrange(len(whole))],
        lambda: flipped(whole, random),
        lambda: whole[:40] + random.randbytes(5000),
        huge,
        lambda: random.randbytes(random.randrange(3000)),
        lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        lambda: sixteen_bits(random),
    ]
    return random.choice(kinds)()


def flipped(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 50)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def sixteen_bits(random: Random) -> bytes:
    out = BytesIO()
    Image.fromarray(np.full((60, 80), random.randrange(65_536), np.uint16)).save(out, "PNG")
    return out.getvalue()


def some_photo(number: int, random: Random) -> bytes:
    if random.random() < 0.5:
        return hostile(random) + str(number).encode()
    return numbered(number) if random.random() < 0.9 else sideways() + str(number).encode()


def test_nothing_grows_and_nothing_is_left(tmp_path: Path) -> None:
    seed, random = options.seeded("soak")
    data, watch, sent, next_sample = tmp_path / "data", Watch(), 0, 0.0
    settings = QUICK | {"MASKLINE_CACHE": "off", "MASKLINE_IDLE_SECONDS": "3600", "MASKLINE_LEASE_SECONDS": "30"}
    with stack(data, **settings) as running, history(data) as seen:
        running.drop("users/ada/first.jpg", photo())
        running.ended("ada", 1)
        began = time.monotonic()
        for number in itertools.count():
            now = time.monotonic() - began
            if now > SECONDS:
                break
            if now >= next_sample:
                watch.sample(data, now)
                next_sample = now + SAMPLE
            running.drop(f"users/ada/{number % 500}-{number}.jpg", some_photo(number, random))
            sent += 1
            time.sleep(1 / RATE)
        found = running.ended("ada", sent + 1)
        assert not any(running.audit().values())
        seen.look()
        states = seen.states()
        left = [path.name for path in (data / "objects" / "tmp").iterdir()]
    grown = growth(watch, SECONDS)
    more = more_descriptors(watch, SECONDS)
    figures = {"seed": seed, "seconds": SECONDS, "photos": len(found), "states": dict(states), "left": len(left)}
    worst = {"growthPercent": round(100 * max(grown.values()), 2), "moreDescriptors": max(more.values())}
    by_role = {"growthByRole": {role: round(100 * value, 2) for role, value in grown.items()}}
    options.keep("soak", figures | worst | by_role)
    assert set(states) <= {State.SUCCEEDED, State.REJECTED}
    assert left == []
    assert max(grown.values()) < MOST_GROWTH, grown
    assert max(more.values()) <= MOST_DESCRIPTORS, more
