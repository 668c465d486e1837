"""The prewarm function as the framework calls it: business hours begin and end, ticks repeat, nonsense is acked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient

from shared.envelope import Push, encode
from shared.runtime import runtime

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FlaskClient]:
    monkeypatch.setenv("MASKLINE_DATA", str(tmp_path))
    for name in ("FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE"):  # the framework leaves them set
        monkeypatch.setenv(name, "")
    source = str(ROOT / "functions/prewarm/main.py")
    app = functions_framework.create_app("on_prewarm", source, "cloudevent")  # type: ignore[no-untyped-call]
    yield app.test_client()
    opened: Any = runtime()
    opened.documents.close()
    runtime.cache_clear()


def ticked(http: FlaskClient, attributes: dict[str, str]) -> int:
    body = encode(Push(b"", attributes, "1", "projects/p/subscriptions/prewarm"), "2026-01-05T07:00:00Z")
    return http.post("/", data=body, content_type="application/json").status_code


def awake() -> int:
    document = runtime().documents.get("services/segment")
    return document.data["minInstances"] if document else 0


def test_business_hours_keep_an_instance_awake_and_let_it_go(http: FlaskClient) -> None:
    for count in ("1", "1", "0"):
        assert ticked(http, {"minInstances": count}) == 200
        assert awake() == int(count)


@pytest.mark.parametrize(
    "attributes", [{}, {"minInstances": "many"}, {"minInstances": "-1"}, {"minInstances": "12345"}]
)
def test_a_tick_that_nobody_understands_changes_nothing_and_is_not_repeated(
    http: FlaskClient, attributes: dict[str, str]
) -> None:
    assert ticked(http, {"minInstances": "1"}) == 200
    assert ticked(http, attributes) == 200
    assert awake() == 1
