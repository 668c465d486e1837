"""S3, S24: pushes that are not Pub/Sub's, and bodies that no publisher of ours would write."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Route

from inference_container.claims import Claims
from inference_container.push import Push
from inference_container.service import Service
from shared import envelope
from shared.errors import Malformed
from shared.events import SegmentRequested, Uploaded
from shared.logs import Log
from shared.runtime import connect, runtime
from shared.settings import Settings
from tests.events import golden
from tests.functions import function
from tests.integration.containers import broker
from tests.unit.test_pushers import PUSH, claims, handed_on

STAGES = ["accept", "settle", "prewarm"]
HOST = "stage-abc-uc.a.run.app"


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No client is opened: who is refused gets nowhere near one."""
    for name, value in (("PROFILE", "gcp"), ("PROJECT", "demo"), ("PUSH_IDENTITY", PUSH)):
        monkeypatch.setenv(f"MASKLINE_{name}", value)
    for name in ("FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE"):  # the framework leaves them set
        monkeypatch.setenv(name, "")
    runtime.cache_clear()
    yield
    runtime.cache_clear()


def strangers() -> dict[str, dict[str, str]]:
    wrong: dict[str, Any] = {
        "a user of the app": {"iss": "https://securetoken.google.com/demo", "aud": "demo"},
        "another account": {"email": "maskline-api@demo.iam.gserviceaccount.com"},
        "for another service": {"aud": "https://elsewhere-uc.a.run.app"},
        "an unverified e-mail": {"email_verified": False},
    }
    mine = {"aud": f"https://{HOST}"}
    return {"nobody": {}} | {
        name: {"authorization": handed_on(claims(**(mine | changes)))} for name, changes in wrong.items()
    }


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("who", strangers())
def test_a_function_takes_no_push_of_a_stranger(production: None, stage: str, who: str) -> None:
    event = golden("uploaded.push" if stage == "accept" else "tick.push")
    assert function(stage).post(event, strangers()[who], f"https://{HOST}") == 403


@pytest.mark.parametrize("who", strangers())
def test_the_container_takes_no_push_of_a_stranger(production: None, who: str) -> None:
    async def steps() -> int:
        settings = Settings.from_env()
        service = Service(settings, Log("test", write=lambda line: None), lambda: None)
        push = Push(service, Claims(connect(settings), 1))
        app = Starlette(routes=[Route("/push", push.deliver, methods=["POST"])])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"https://{HOST}") as client:
            answer = await client.post("/push", json=golden("segment-requested.v1.push"), headers=strangers()[who])
            assert service.admission.inside == 0
            return answer.status_code

    assert asyncio.run(steps()) == 403


def push(data: Any = b"", attributes: Any = None) -> Any:
    text = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    return {"message": {"data": text, "attributes": attributes or {}, "messageId": "1"}, "subscription": "s"}


SEGMENT = golden("segment-requested.v1.push")["message"]["attributes"]
ODD: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"hello",
    "a list": b"[]",
    "no message": b"{}",
    "message null": b'{"message":null}',
    "message a list": b'{"message":[]}',
    "data that is no base64": json.dumps(push("%%%")).encode(),
    "data that is a number": json.dumps(push(7)).encode(),
    "data that is no JSON": json.dumps(push(b"{", SEGMENT)).encode(),
    "data that is deep": json.dumps(push(b"[" * 20_000, SEGMENT)).encode(),
    "attributes that are numbers": json.dumps(push(b"", {"schemaVersion": 1})).encode(),
    "attributes that are a list": json.dumps(push(b"", [1])).encode(),
    "another schema": json.dumps(push(b"{}", SEGMENT | {"schemaVersion": "99"})).encode(),
    "a deadline that is no time": json.dumps(push(b"{}", SEGMENT | {"deadline": "soon"})).encode(),
    "a generation beyond all": json.dumps(push(b'{"generation":1e999}', SEGMENT)).encode(),
    "NaN": b'{"message":{"data":"","attributes":{}},"deliveryAttempt":NaN}',
    "deep": b"[" * 60_000,
    "an attempt that is a word": b'{"message":{"data":"","attributes":{}},"deliveryAttempt":"x"}',
    "half a surrogate": b'{"message":{"data":"","attributes":{"a":"\\ud800"}}}',
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_push_is_malformed_and_nothing_else(name: str) -> None:
    def read() -> SegmentRequested:
        delivery = envelope.decode(ODD[name])
        return SegmentRequested.from_message(delivery.data, delivery.attributes)

    with pytest.raises(Malformed):
        read()


@given(
    st.dictionaries(st.sampled_from(["bucketId", "objectId", "objectGeneration", "schemaVersion", "arm"]), st.text()),
    st.binary(max_size=60),
)
def test_no_attributes_and_no_data_break_a_reader(attributes: dict[str, str], data: bytes) -> None:
    for read in (Uploaded.from_message, SegmentRequested.from_message):
        try:
            read(data, attributes)
        except Malformed:
            continue


FORGED = {  # attribute → what no bucket has
    "objectId": ["../../etc/passwd", "x" * 5000, "a\0b", "a\nb", "\ud800", "", "."],
    "objectGeneration": ["0", "-1", "9" * 25, "9" * 5000, "1.5", "１", ""],
    "bucketId": ["", "results", "a/b"],
}


def test_forged_notifications_are_acknowledged_once_and_make_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with broker() as queue:
        monkeypatch.setenv("MASKLINE_DATA", str(tmp_path))
        monkeypatch.setenv("MASKLINE_BROKER_URL", queue.url)
        for variable in ("FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE"):
            monkeypatch.setenv(variable, "")
        accept = function("accept")
        for attribute, values in FORGED.items():
            for value in values:
                event = golden("uploaded.push")
                event["message"]["attributes"][attribute] = value
                assert accept.post(event) == 200, (attribute, value[:20])
        assert queue.published == []
        opened: Any = runtime()
        for port in (opened.documents, opened.objects, opened.topics):
            port.close()
        runtime.cache_clear()
