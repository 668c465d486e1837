"""What waits on Pub/Sub, by a stand-in for Cloud Monitoring that answers in the shape of the real one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

from cli import audit
from shared import pipeline
from shared.adapters.google.backlogs import CloudBacklogs
from shared.backlog import expected
from shared.errors import Misconfigured, Retryable
from shared.ports import Figure
from shared.settings import Settings
from tests.integration.fake_google import PROJECT, SERIES, Google, problem

COUNT, OLDEST = "num_undelivered_messages", "oldest_unacked_message_age"
NOW = datetime(2026, 8, 1, 12, 0, 30, tzinfo=UTC)
QUEUE, DEAD = "segment-stable-interactive", "settle-segment-dead"
DENIED = "Permission monitoring.timeSeries.list denied (or the resource may not exist)."


def series(metric: str, subscription: str, *values: int, newest: datetime = NOW - timedelta(seconds=90)) -> Any:
    """A TimeSeries; `values` minute by minute, newest first."""
    times = [(newest - timedelta(minutes=back)).isoformat().replace("+00:00", "Z") for back in range(len(values))]
    return {
        "metric": {"type": f"pubsub.googleapis.com/subscription/{metric}"},
        "resource": {
            "type": "pubsub_subscription",
            "labels": {"project_id": PROJECT, "subscription_id": subscription},
        },
        "metricKind": "GAUGE",
        "valueType": "INT64",
        "points": [
            {"interval": {"startTime": time, "endTime": time}, "value": {"int64Value": str(value)}}
            for time, value in zip(times, values, strict=True)
        ],
    }


def backlogs(google: Google) -> CloudBacklogs:
    return CloudBacklogs(PROJECT, AnonymousCredentials, google.url, lambda: NOW)


def test_the_most_messages_and_the_newest_age_count(google: Google) -> None:
    google.series[COUNT] = [[series(COUNT, QUEUE, 0, 4, 2), series(COUNT, DEAD, 0, 0)]]
    google.series[OLDEST] = [[series(OLDEST, QUEUE, 30, 700, 640), series(OLDEST, DEAD, 0, 0)]]
    seen = backlogs(google).look()
    assert seen.subscriptions == {QUEUE: Figure(4, timedelta(seconds=30)), DEAD: Figure(0, timedelta())}
    assert seen.as_of == NOW - timedelta(seconds=90)


def test_pages_and_parts_are_put_together(google: Google) -> None:
    late = NOW - timedelta(minutes=5)
    google.series[COUNT] = [[series(COUNT, QUEUE, 9, newest=late)], [series(COUNT, QUEUE, 1)], [series(COUNT, DEAD, 2)]]
    google.series[OLDEST] = [[series(OLDEST, QUEUE, 800, newest=late)], [series(OLDEST, QUEUE, 20)], []]
    seen = backlogs(google).look()
    assert seen.subscriptions == {QUEUE: Figure(9, timedelta(seconds=20)), DEAD: Figure(2, timedelta())}


def test_figures_are_as_old_as_the_oldest_of_them(google: Google) -> None:
    late = NOW - timedelta(minutes=4)
    google.series[COUNT] = [[series(COUNT, QUEUE, 0), series(COUNT, DEAD, 0, newest=late)]]
    assert backlogs(google).look().as_of == late


def test_one_metric_of_the_last_minutes_is_asked_for_at_a_time(google: Google) -> None:
    google.series[COUNT] = [[series(COUNT, QUEUE, 0)]]
    backlogs(google).look()
    [count, oldest] = google.asked
    assert count["filter"] == [f'metric.type = "pubsub.googleapis.com/subscription/{COUNT}"']
    assert oldest["filter"] == [f'metric.type = "pubsub.googleapis.com/subscription/{OLDEST}"']
    start, end = (datetime.fromisoformat(count[f"interval.{name}"][0]) for name in ("startTime", "endTime"))
    assert (start, end) == (NOW - timedelta(minutes=10), NOW)


def test_nothing_known_is_not_nothing_there(google: Google) -> None:
    with pytest.raises(Retryable, match="no figures"):
        backlogs(google).look()


def test_without_the_permission_it_says_so(google: Google) -> None:
    google.refused[SERIES] = problem(403, DENIED)
    with pytest.raises(Misconfigured, match="may not do that in Cloud Monitoring"):
        backlogs(google).look()


# -- what `maskline audit` says of it


def said(google: Google, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    monkeypatch.setattr(audit, "_backlogs", lambda _: backlogs(google))
    found = audit._messages(Settings.from_env({}, profile="gcp", project=PROJECT))
    out, err = capsys.readouterr()
    assert out == ""
    return found, err


def test_a_missing_permission_is_a_note(
    google: Google, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    google.refused[SERIES] = problem(403, DENIED)
    found, note = said(google, monkeypatch, capsys)
    assert found is None
    assert note.startswith("maskline: messages were not looked at: ")
    assert "lacks the permission monitoring.timeSeries.list" in note
    assert "grant a role" in note


def test_subscriptions_without_figures_are_named(
    google: Google, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(expected(pipeline.load()))
    google.series[COUNT] = [[series(COUNT, name, 0) for name in names]]
    found, note = said(google, monkeypatch, capsys)
    assert (set(found.subscriptions), note) == (set(names), "")
    google.series[COUNT][0].pop()
    _, note = said(google, monkeypatch, capsys)
    assert f"no figures of {names[-1]}: what waits there was not looked at" in note
