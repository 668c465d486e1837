"""S10, S19: bodies that are too large, too deep, too slow or not what they say; and what is never logged."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest
from starlette.requests import Request

from inference_container.claims import Claims
from inference_container.push import Push
from inference_container.segment import segment
from inference_container.service import Service
from local import devtoken
from shared.api.app import Api
from shared.logs import Log
from tests.integration.apis import JPEG, Backend, announce, caller

T = TypeVar("T")
POST = "/v1/predictions"


def run(steps: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(steps)


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"contentType=image/jpeg",
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "NaN": b'{"contentType":"image/jpeg","sizeBytes":NaN}',
    "infinity": b'{"contentType":"image/jpeg","sizeBytes":Infinity}',
    "a number beyond all": b'{"contentType":"image/jpeg","sizeBytes":1e999}',
    "a number of 60,000 digits": b'{"contentType":"image/jpeg","sizeBytes":' + b"9" * 60_000 + b"}",
    "a fraction": b'{"contentType":"image/jpeg","sizeBytes":1.5}',
    "a negative size": b'{"contentType":"image/jpeg","sizeBytes":-1}',
    "a string for a size": b'{"contentType":"image/jpeg","sizeBytes":"10"}',
    "the same key twice": b'{"contentType":"image/jpeg","contentType":"image/png"}',
    "the same key twice, deeper": b'{"contentType":"image/jpeg","outputs":[],"outputs":["rle"]}',
    "30,000 lists": b'{"contentType":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "10,000 objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "half a surrogate": b'{"contentType":"\\ud800"}',
    "another encoding": '{"contentType":"image/jpeg"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + b'{"contentType":"image/jpeg"}',
    "something behind it": b'{"contentType":"image/jpeg"} {}',
    "a comment": b'{"contentType":"image/jpeg"} // fine',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_what_was_agreed_is_refused(stack: Backend, name: str) -> None:
    async def steps() -> None:
        async with caller(stack, "mallory") as mallory:
            answer = await mallory.post(POST, content=BODIES[name])
            assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
            assert (await mallory.get(POST)).json()["predictions"] == []

    run(steps())


def test_a_body_is_read_no_further_than_it_may_be_long(stack: Backend) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 4096
            yield b" " * 4096

    async def steps() -> None:
        async with caller(stack, "mallory") as mallory:
            assert (await mallory.post(POST, content=endless())).status_code == 413

    run(steps())
    # The in-process client hands over what it has; the raw sockets of `test_wire.py` see the connection end.


def test_a_compressed_body_is_not_unpacked(stack: Backend) -> None:
    bomb = gzip.compress(b" " * (8 << 20))

    async def steps() -> None:
        async with caller(stack, "mallory") as mallory:
            answer = await mallory.post(POST, content=bomb, headers={"content-encoding": "gzip"})
            assert answer.status_code == 400

    run(steps())


def test_a_body_that_never_comes_is_not_waited_for(stack: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.api.app._BODY_SECONDS", 0.05)

    async def steps() -> None:
        async def never() -> Any:
            await asyncio.Event().wait()

        token = devtoken.issue(stack.settings, "mallory").encode()
        scope = {
            "type": "http", "method": "POST", "path": POST, "raw_path": POST.encode(), "query_string": b"",
            "headers": [(b"authorization", b"Bearer " + token), (b"content-length", b"10")],
        }  # fmt: skip
        answer = await Api(stack.runtime, Log("api", write=stack.logged.append))(Request(scope, never))
        assert answer.status_code == 408

    run(steps())


def test_a_full_instance_refuses_before_it_reads(stack: Backend) -> None:
    async def unread() -> Any:
        raise AssertionError("the body was read")

    async def steps() -> None:
        service = Service(stack.settings, Log("test", write=lambda line: None), lambda: None)
        push = Push(service, Claims(stack.runtime, 1))
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"20971520")]}
        with ExitStack() as inside:
            for _ in range(service.admission.limit):
                inside.enter_context(service.admission.entered())
            for answer in (await segment(service, Request(scope, unread)), await push.deliver(Request(scope, unread))):
                assert answer.status_code == 429
                assert int(answer.headers["retry-after"]) >= 1

    run(steps())


def test_secrets_and_odd_words_of_a_request_are_neither_logged_nor_answered(stack: Backend) -> None:
    canaries = [f"canary{secrets.token_hex(8)}" for _ in range(12)]
    words = iter(canaries)

    async def steps() -> None:
        async with caller(stack, "alice") as alice, caller(stack) as nobody:
            trace = {"traceparent": f"00-{next(words)}\x1b[31m"}
            answers = [
                await nobody.get(POST, headers={"authorization": f"Bearer {next(words)}"}),
                await nobody.get(POST, headers={"authorization": f"Basic {next(words)}"}),
                await alice.get(f"/v1/{next(words)}"),
                await alice.get(f"/v1/predictions/{next(words)}%0a%7b%22severity%22:%22ERROR%22%7d"),
                await alice.get(f"{POST}?pageToken={next(words)}"),
                await alice.get(POST, headers={"cookie": next(words), "x-api-key": next(words)}),
                await alice.post(POST, json={"contentType": next(words)}),
                await alice.post(POST, json=JPEG | {"webhook": f"https://example.com/?key={next(words)}"}),
                await alice.post(POST, content=next(words).encode()),
                await alice.post(POST, json=JPEG, headers=trace),
            ]
            made = await announce(alice, requestId=next(words))
            stack.succeed(made["id"])
            shown = (await alice.get(f"{POST}/{made['id']}")).json()
            text = " ".join(answer.text for answer in answers)
            assert [word for word in canaries if word in text] == []
            log = "\n".join(stack.logged)
            signature = shown["result"]["maskUrl"].rpartition("signature=")[2]
            uploads = made["uploadUrl"].rpartition("signature=")[2]
            token = alice.headers["authorization"].partition(" ")[2]
            assert [word for word in [*canaries, signature, uploads, token] if word in log] == []

    run(steps())
    for line in stack.logged:
        assert isinstance(json.loads(line), dict)
        assert "\n" not in line.strip()
