"""The page of guarantees is what the kept results and the catalogue say, and every test that it names exists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.chaos.catalogue import FAULT_ROWS, INVARIANTS, Row
from tests.chaos.report import KEPT, PAGE, page

TESTS = Path(__file__).resolve().parents[1]


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(json.loads(KEPT.read_text())), "run `python -m tests.chaos.report`"


def test_every_fault_is_listed_in_order() -> None:
    assert [row.id for row in FAULT_ROWS] == [f"F{number}" for number in range(1, 33)]
    assert [row.id for row in INVARIANTS] == [f"I{number}" for number in range(1, 14)]


@pytest.mark.parametrize("row", [*INVARIANTS, *FAULT_ROWS], ids=lambda row: row.id)
def test_what_is_named_exists_and_what_is_not_shown_has_a_reason(row: Row) -> None:
    assert row.tests or row.missing
    for test in row.tests:
        path, _, name = test.partition("::")
        assert f"def {name}" in (TESTS / path).read_text("utf-8")


@pytest.mark.parametrize(
    "results", [{}, {"hostile-0": {"files": 863, "kinds": {"accepted": 3, "TOO_LARGE": 860}, "goodPhotos": 9}}]
)
def test_what_was_not_run_is_said(results: dict[str, dict[str, object]]) -> None:
    machine = {"cpu": "a processor", "cores": 2}
    kept = {name: {"time": "2026-01-01", "machine": machine, "figures": row} for name, row in results.items()}
    assert "| torture | not run yet |" in page(kept)
    assert ("863 kinds among 9 good photos: 3 accepted, 860 rejected" in page(kept)) == bool(results)
