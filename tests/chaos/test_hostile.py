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

from shared.adapters.local.documents import LocalDocuments
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
ENDS = ("SUCCEEDED", "FAILED", "REJECTED", "CANCELLED", "EXPIRED")
TYPES = ("image/jpeg", "image/png", "image/webp")
RESULTS = Path(__file__).resolve().parents[2] / "build" / "chaos"


@pytest.mark.parametrize("processes", ["0", "2"], ids=["threads", "processes"])
def test_every_kind_of_file_ends_as_expected(tmp_path: Path, processes: str) -> None:
    with stack(tmp_path / "data", MASKLINE_CACHE="off", MASKLINE_DECODE_PROCESSES=processes) as running:
        for name in ("mallory", "ada"):
            running.user(name)  # made once, before threads ask for it
        with ThreadPoolExecutor(SENDERS) as threads:
            keys = list(threads.map(lambda at: sent(running, at, KINDS[at]), range(len(KINDS))))
        found = outcomes(running)
        wrong = {kind.name: found[key] for kind, key in zip(KINDS, keys, strict=True) if not fits(kind, found[key])}
        assert wrong == {}
        good = running.ended("ada", len(KINDS) // EVERY)
        assert {one["state"] for one in good} == {"SUCCEEDED"}
        assert len({one["result"]["sha256"] for one in good}) == 1
        report = wait_for(lambda: clean(running), "a clean history")
        assert [line for line in scaler_log(running) if line["action"] == "died"] == []
    kinds = Counter("accepted" if isinstance(kind.expected, tuple) else kind.expected.value for kind in KINDS)
    keep(f"hostile-{processes}", {"files": len(KINDS), "kinds": kinds, "goodPhotos": len(good), "audit": report})


def sent(running: Stack, number: int, kind: Kind) -> str:
    """The file on its way: its prediction's id, or the name that it was copied under."""
    data, client = kind.make(), running.user("mallory")
    if number % EVERY == 0 and number:
        made = running.user("ada").create("image/jpeg", len(photo()), f"good-{number}")
        running.user("ada").upload(made, photo())
    if number % 2 and 0 < len(data) <= MAX_BYTES:
        made = client.create(TYPES[number % 3], len(data), f"bad-{number}")
        client.upload(made, data)
        return str(made["id"])
    name = f"users/mallory/%2e%2e {kind.name} 写真.{('gif', 'png', 'JPG', 'exe')[number % 4]}"
    dropped(running, name, data)
    return name


def outcomes(running: Stack) -> dict[str, dict[str, Any]]:
    """What the API says of each file, by its prediction's id and by its name, once all have ended."""

    def all_ended() -> list[dict[str, Any]] | None:
        rows = list(running.user("mallory").list())
        return rows if len(rows) == len(KINDS) and all(row["state"] in ENDS for row in rows) else None

    rows = {row["id"]: row for row in wait_for(all_ended, "every file to end", PATIENCE)}
    stored = LocalDocuments(running.data / "documents.db").query("predictions", limit=2 * len(KINDS))
    return rows | {one.data["object"]: rows[one.data["id"]] for one in stored if one.data["id"] in rows}


def fits(kind: Kind, found: dict[str, Any]) -> bool:
    if isinstance(kind.expected, Reason):
        error = found.get("error") or {}
        reason, message = error.get("reason"), str(error.get("message"))
        return (found["state"], reason) == ("REJECTED", kind.expected) and message.endswith(".")
    sizes = [(one["width"], one["height"]) for one in (found["input"], found.get("result") or found["input"])]
    return found["state"] == "SUCCEEDED" and sizes == [kind.expected] * 2


def dropped(running: Stack, name: str, data: bytes) -> None:
    """At once: on a busy machine a file may stay empty for so long that its empty state is taken for its last."""
    running.drop(f"{name}.part", data)
    path = running.data / "buckets" / "uploads" / name
    path.with_name(f"{path.name}.part").rename(path)


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
