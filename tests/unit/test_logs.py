"""One JSON object per line, in the shape that Cloud Logging reads."""

from __future__ import annotations

import errno
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.logs import Log

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def logged(level: str = "INFO", action: str = "claimed", severity: str = "INFO", **fields: Any) -> list[dict[str, Any]]:
    lines: list[str] = []
    Log("segment", level, lines.append)(action, severity, **fields)
    return [json.loads(line) for line in lines]


def test_a_record_says_when_who_and_what() -> None:
    (record,) = logged(prediction_id="p1", fence=2)
    assert {key: record[key] for key in ("severity", "component", "action", "message")} == {
        "severity": "INFO",
        "component": "segment",
        "action": "claimed",
        "message": "claimed",
    }
    assert (record["prediction_id"], record["fence"]) == ("p1", 2)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(record["time"])) < timedelta(minutes=1)


def test_a_message_replaces_the_action_for_people() -> None:
    (record,) = logged(message="The photo is claimed.")
    assert (record["action"], record["message"]) == ("claimed", "The photo is claimed.")


def test_a_trace_is_split_as_cloud_logging_wants_it() -> None:
    (record,) = logged(trace=TRACE)
    assert record["logging.googleapis.com/trace"] == "0af7651916cd43dd8448eb211c80319c"
    assert record["logging.googleapis.com/spanId"] == "b7ad6b7169203331"
    assert "trace" not in record


@pytest.mark.parametrize("trace", ["", "nonsense", "a-b"])
def test_what_is_no_trace_is_left_out(trace: str) -> None:
    (record,) = logged(trace=trace)
    assert not [key for key in record if "trace" in key.lower()]


@pytest.mark.parametrize(("level", "kept"), [("DEBUG", 4), ("INFO", 3), ("WARNING", 2), ("ERROR", 1)])
def test_only_what_is_severe_enough_is_written(level: str, kept: int) -> None:
    assert sum(len(logged(level, severity=severity)) for severity in ("DEBUG", "INFO", "WARNING", "ERROR")) == kept


def test_warnings_and_errors_carry_their_severity() -> None:
    lines: list[str] = []
    log = Log("settle", write=lines.append)
    log.warning("requeued")
    log.error("malformed")
    assert [json.loads(line)["severity"] for line in lines] == ["WARNING", "ERROR"]


def test_odd_values_never_break_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Log("accept")("odd", when=datetime(2026, 1, 1, tzinfo=UTC), text="two\nlines", thing=object())
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["text"] == "two\nlines"


def test_a_line_that_finds_no_room_on_the_disk_stops_nobody() -> None:
    def full(line: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    Log("segment", write=full).error("failed")
