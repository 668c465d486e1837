"""Settings are read once, complain about everything at once, and are all documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared import pipeline, settings
from shared.errors import Misconfigured
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_defaults_agree_with_the_pipeline_table() -> None:
    table = pipeline.load().timings
    for profile, name in (("local", "local"), ("gcp", "gcp")):
        read = Settings.from_env({"MASKLINE_PROFILE": profile})
        timings = table[name]
        assert (read.lease_seconds, read.work_budget_seconds) == (timings.lease, timings.work_budget)
        assert (read.ack_deadline_seconds, read.sweep_seconds) == (timings.ack_deadline, timings.sweep)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        Settings.from_env(
            {"MASKLINE_LEASE_SECONDS": "soon", "MASKLINE_MAX_BATCH": "0", "MASKLINE_PROFILE": "moon"},
        )
    message = str(caught.value)
    assert all(name in message for name in ("LEASE_SECONDS", "MAX_BATCH", "PROFILE"))


@pytest.mark.parametrize(
    "environ",
    [
        {"MASKLINE_LEASE_SECONDS": "2", "MASKLINE_WORK_BUDGET_SECONDS": "2"},
        {"MASKLINE_LEASE_SECONDS": "50", "MASKLINE_ACK_DEADLINE_SECONDS": "60"},
        {"MASKLINE_UPLOADS_BUCKET": "one", "MASKLINE_RESULTS_BUCKET": "one"},
    ],
)
def test_times_and_buckets_that_contradict_each_other_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(Misconfigured):
        Settings.from_env(environ)


@pytest.mark.parametrize("name", ["UPLOADS_BUCKET", "RESULTS_BUCKET"])
@pytest.mark.parametrize("value", ["../photos", "a/b", ".", "Photos", "ab", "a b c"])
def test_a_name_that_no_bucket_can_have_is_refused(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=name):
        Settings.from_env({f"MASKLINE_{name}": value})


@pytest.mark.parametrize(
    "value", ["8080", "127.0.0.1:8080", "ftp://here", "http://", "http://a b", "http://u:p@here", "http://["]
)
def test_a_url_that_nobody_can_call_is_refused(value: str) -> None:
    with pytest.raises(Misconfigured, match="MASKLINE_URL"):
        Settings.from_env({"MASKLINE_URL": value})


def test_an_empty_variable_counts_as_not_set() -> None:
    names = ("DATA", "URL", "PROJECT", "UPLOADS_BUCKET", "LEASE_SECONDS", "PROFILE", "CACHE")
    assert Settings.from_env({f"MASKLINE_{name}": "" for name in names}) == Settings.from_env({})


@pytest.mark.parametrize("name", settings.EMULATOR_VARIABLES)
def test_production_refuses_to_talk_to_an_emulator(name: str) -> None:
    with pytest.raises(Misconfigured, match=name):
        Settings.from_env({"MASKLINE_PROFILE": "gcp", name: "localhost:1"})
    assert Settings.from_env({"MASKLINE_PROFILE": "emulator", name: "localhost:1"}).profile == "emulator"


def test_a_longer_lease_moves_the_default_ack_deadline_with_it() -> None:
    assert Settings.from_env({"MASKLINE_LEASE_SECONDS": "100"}).ack_deadline_seconds == 150


def test_every_setting_is_documented_and_nothing_else() -> None:
    source = (ROOT / "shared/settings.py").read_text("utf-8")
    read = {"MASKLINE_" + name for name in re.findall(r'reader\.\w+\("([A-Z_]+)"', source)}
    documented = set(re.findall(r"^\| `(MASKLINE_[A-Z_]+)`", (ROOT / "docs/reference/settings.md").read_text(), re.M))
    assert documented == read


def test_overrides_count_more_than_the_environment() -> None:
    read = Settings.from_env({"MASKLINE_DATA": "a", "MASKLINE_MAX_BATCH": "3"}, data="b", max_batch=None, cache=False)
    assert (str(read.data), read.max_batch, read.cache) == ("b", 3, False)


def test_a_child_process_reads_the_same_settings() -> None:
    parent = Settings.from_env({}, lease_seconds=2, cache=False, max_batch=5, url="http://127.0.0.1:1")
    assert Settings.from_env(parent.environment()) == parent
