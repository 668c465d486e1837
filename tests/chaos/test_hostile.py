"""The whole corpus through a whole stack, good photos among it: every file ends as expected, and nobody is hurt.

Half of it is announced through the API under a type that it may not have, half is copied into the bucket under names
that say something else.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shared.limits import MAX_BYTES
from shared.prediction import Reason
from tests.e2e.photos import photo
from tests.e2e.stacks import Stack, maskline, stack, wait_for
from tests.hostile.corpus import KINDS
from tests.hostile.kinds import Kind

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]
PATIENCE = 1800.0  # s for everything to end
SENDERS = 4
EVERY = 10  # files, then a good photo
TYPES = ("image/jpeg", "image/png", "image/webp")
RESULTS = Path(__file__).resolve().parents[2] / "build" / "chaos"


@pytest.mark.parametrize("processes", ["0", "2"], ids=["threads", "processes"])
def test_every_kind_of_file_ends_as_expected(tmp_path: Path, processes: str) -> None:
    with stack(tmp_path / "data", MASKLINE_CACHE="off", MASKLINE_DECODE_PROCESSES=processes) as running:
        with ThreadPoolExecutor(SENDERS) as threads:
            who = list(threads.map(lambda at: sent(running, at, KINDS[at]), range(len(KINDS))))
        unexpected = {
            kind.name: found for kind, user in zip(KINDS, who, strict=True) if (found := wrong(running, kind, user))
        }
        assert unexpected == {}
        good = running.ended("ada", len(KINDS) // EVERY)
        assert {one["state"] for one in good} == {"SUCCEEDED"}
        assert len({one["result"]["sha256"] for one in good}) == 1
        report = wait_for(lambda: clean(running), "a clean history")
        deaths = [line for line in scaler_log(running) if line["action"] == "died"]
        assert deaths == []
    kinds = Counter("accepted" if isinstance(kind.expected, tuple) else kind.expected.value for kind in KINDS)
    keep(f"hostile-{processes}", {"files": len(KINDS), "kinds": kinds, "goodPhotos": len(good), "audit": report})


def sent(running: Stack, number: int, kind: Kind) -> str:
    """The file on its way; whose it is."""
    data, user = kind.make(), f"mallory{number}"
    if number % EVERY == 0 and number:
        client = running.user("ada")
        client.upload(client.create("image/jpeg", len(photo()), f"good-{number}"), photo())
    if number % 2 and 0 < len(data) <= MAX_BYTES:
        client = running.user(user)
        client.upload(client.create(TYPES[number % 3], len(data), "one"), data)
    else:
        dropped(running, f"users/{user}/%2e%2e {kind.name} 写真.{('gif', 'png', 'JPG', 'exe')[number % 4]}", data)
    return user


def dropped(running: Stack, name: str, data: bytes) -> None:
    """At once: on a busy machine a file may stay empty for so long that its empty state is taken for its last."""
    running.drop(f"{name}.part", data)
    path = running.data / "buckets" / "uploads" / name
    path.with_name(f"{path.name}.part").rename(path)


def wrong(running: Stack, kind: Kind, user: str) -> Any:
    """What became of it, if that was not expected."""
    [found] = wait_for(lambda: ended(running, user), f"{kind.name} to end", PATIENCE)
    if isinstance(kind.expected, Reason):
        fine = (found["state"], found.get("error", {}).get("reason")) == ("REJECTED", kind.expected)
        return None if fine and found["error"]["message"].endswith(".") else found
    sizes = [(one["width"], one["height"]) for one in (found["input"], found.get("result") or found["input"])]
    return None if found["state"] == "SUCCEEDED" and sizes == [kind.expected] * 2 else found


def ended(running: Stack, user: str) -> list[dict[str, Any]]:
    ends = ("SUCCEEDED", "FAILED", "REJECTED", "CANCELLED", "EXPIRED")
    return [one for one in running.user(user).list() if one["state"] in ends]


def clean(running: Stack) -> dict[str, list[str]] | None:
    done = maskline("audit", "--json", "--data", running.data)
    return json.loads(done.stdout) if done.returncode == 0 else None


def scaler_log(running: Stack) -> list[dict[str, Any]]:
    files = (running.data / "run" / "logs").glob("scaler*")
    return [json.loads(line) for file in files for line in file.read_text().splitlines() if line.startswith("{")]


def keep(name: str, figures: dict[str, Any]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    print(json.dumps({name: figures}))
