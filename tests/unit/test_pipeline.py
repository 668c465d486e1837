"""The wiring table: what is shipped is sound, and every kind of mistake is named."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.stack import FUNCTIONS
from shared import pipeline
from shared.errors import Misconfigured

RAW = yaml.safe_load(pipeline.PATH.read_text("utf-8"))


def broken(*path: str, value: Any) -> dict[str, Any]:
    raw: dict[str, Any] = copy.deepcopy(RAW)
    node = raw
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return raw


def test_the_shipped_table_is_sound() -> None:
    table = pipeline.load()
    assert {s.topic for s in table.subscriptions.values()} <= set(table.topics)
    assert all(s.dead_letter for s in table.subscriptions.values())


def test_one_machine_has_no_part_that_only_the_cloud_has() -> None:
    table = pipeline.load()
    here = table.local()
    assert table.stages.keys() - here.stages.keys() == {"prewarm"}
    assert table.subscriptions.keys() - here.subscriptions.keys() == {"prewarm"}
    assert here.schedules.keys() == {"sweep"}


def test_the_table_the_folders_and_the_local_profile_have_the_same_functions() -> None:
    table = pipeline.load()
    folders = {path.parent.name for path in (pipeline.PATH.parent / "functions").glob("*/main.py")}
    assert {s.name for s in table.stages.values() if s.runtime == "function"} == folders
    assert {s.name for s in table.local().stages.values() if s.runtime == "function"} == set(FUNCTIONS)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("timings", "local", "work_budget"), 30, "work_budget must be below lease"),
        (("timings", "gcp", "ack_deadline"), 200, "ack_deadline must be at least"),
        (("timings", "local", "retry_min"), 0, "retry policy"),
        (("capacity", "gcp", "images_per_s"), 0, "more than 0 images_per_s"),
        (("capacity",), {}, "local: no capacity"),
        (("subscriptions", "accept-uploads", "topic"), "nowhere", "topic 'nowhere'"),
        (("subscriptions", "accept-uploads", "dead_letter"), "nowhere", "dead-letter topic 'nowhere'"),
        (("subscriptions", "accept-uploads", "stage"), "nobody", "stage 'nobody'"),
        (("subscriptions", "accept-uploads", "max_delivery_attempts"), 3, "5 to 100"),
        (("subscriptions", "segment-stable-bulk", "ack_deadline"), "someday", "'someday'"),
        (("stages", "accept", "public"), True, "'accept' is open to everybody"),
        (("stages", "settle", "entry"), "on_upload", "different names"),
        (("stages", "settle", "identity"), "accept", "identity of its own"),
        (("jobs", "train", "identity"), "segment", "identity of its own"),
        (("schedules", "sweep", "topic"), "nowhere", "schedule sweep"),
        (("schedules", "sweep", "timing"), "someday", "schedule sweep: no timing"),
        (("stages", "accept", "colour"), "red", "agreed form"),
        (("topics",), None, "agreed form"),
    ],
)
def test_a_mistake_is_named(path: tuple[str, ...], value: Any, complaint: str) -> None:
    with pytest.raises(Misconfigured, match=complaint):
        pipeline.parse(broken(*path, value=value))


def test_a_subscription_without_a_dead_letter_topic_is_refused() -> None:
    raw = copy.deepcopy(RAW)
    del raw["subscriptions"]["settle-sweep"]["dead_letter"]
    with pytest.raises(Misconfigured):
        pipeline.parse(raw)


@pytest.mark.parametrize("text", ["topics: [", "topics: {a: {}}\ntopics: {}"])
def test_a_file_that_is_not_yaml_or_names_a_key_twice_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(text)
    with pytest.raises(Misconfigured) as caught:
        pipeline.load(file)
    assert "\n" not in str(caught.value)
