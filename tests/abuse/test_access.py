"""S4 to S6, S21, S22: other people's things, fields that are not the caller's, what only operators may, and how a
refusal looks."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import pytest

from shared.prediction import State
from tests.integration.apis import JPEG, Backend, announce, caller

T = TypeVar("T")
FEEDBACK = str(uuid.UUID(int=7))
REQUESTS = (  # method, what follows the prediction's path, body
    ("GET", "", None),
    ("DELETE", "", None),
    ("GET", ":watch", None),
    ("POST", ":cancel", None),
    ("PUT", f"/feedback/{FEEDBACK}", {"verdict": "good"}),
)


def run(steps: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(steps)


async def ask(client: httpx.AsyncClient, name: str, method: str, rest: str, body: Any) -> tuple[int, bytes, list[str]]:
    answer = await client.request(method, f"/v1/predictions/{name}{rest}", json=body)
    return answer.status_code, answer.content, sorted(answer.headers)


@pytest.mark.parametrize(("method", "rest", "body"), REQUESTS)
def test_other_peoples_and_deleted_and_never_made_are_the_same_nothing(
    stack: Backend, method: str, rest: str, body: Any
) -> None:
    async def steps() -> None:
        async with caller(stack, "alice") as alice, caller(stack, "bob") as bob:
            theirs, done, gone = [(await announce(alice))["id"] for _ in range(3)]
            stack.succeed(done)
            buried = (await announce(bob))["id"]
            for client, name in ((alice, gone), (bob, buried)):
                assert (await client.delete(f"/v1/predictions/{name}")).status_code == 204
            names = ["p" + "a" * 25, "h" + "a" * 25, theirs, done, gone, buried]
            answers = [await ask(bob, name, method, rest, body) for name in names]
            assert answers[0][0] == 404
            assert all(answer == answers[0] for answer in answers)
            assert stack.prediction(theirs).state is State.AWAITING_UPLOAD
            assert stack.prediction(done).result

    run(steps())


def test_finding_nothing_takes_as_much_work_as_finding_other_peoples(
    stack: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steps() -> None:
        async with caller(stack, "alice") as alice, caller(stack, "bob") as bob:
            theirs = (await announce(alice))["id"]
            reads: list[str] = []
            original = stack.documents.get

            def counted(path: str) -> Any:
                reads.append(path)
                return original(path)

            monkeypatch.setattr(stack.documents, "get", counted)
            work = []
            for name in ("p" + "a" * 25, theirs):
                reads.clear()
                await ask(bob, name, "GET", "", None)
                work.append(len(reads))
            assert work == [1, 1]

    run(steps())


ODD_IDS = ["0", "-1", str(2**63), "*", "..", "%2e%2e", "..%2f..%2fmodels%2fstarter", "%00", "p" + "A" * 25, "x" * 5000]
ODD_IDS += ["p" + "a" * 24, "p" + "a" * 26, "p" + "a" * 25 + "%20", "__all__", "ｐ" + "a" * 25, "undefined", "null"]


@pytest.mark.parametrize("name", ODD_IDS)
def test_an_odd_id_is_not_found(stack: Backend, name: str) -> None:
    async def steps() -> None:
        async with caller(stack, "bob") as bob:
            for method, rest, body in REQUESTS:
                status, content, _ = await ask(bob, name, method, rest, body)
                assert status in (404, 405), (method, rest)
                assert json.loads(content)["error"]["status"] in ("NOT_FOUND", "METHOD_NOT_ALLOWED")

    run(steps())


def test_a_listing_and_its_cursor_show_only_ones_own(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "carol") as carol, caller(stack, "dave") as dave:
            mine = {(await announce(carol))["id"] for _ in range(3)}
            token = (await carol.get("/v1/predictions?pageSize=1")).json()["nextPageToken"]
            own = (await announce(dave))["id"]
            answer = await dave.get(f"/v1/predictions?pageSize=100&pageToken={token}")
            shown = {one["id"] for one in answer.json().get("predictions", [])}
            assert shown <= {own}
            assert not shown & mine

    run(steps())


SERVER_FIELDS: dict[str, Any] = {
    "id": "p" + "b" * 25, "uid": "eve", "ownerUid": "eve", "state": "SUCCEEDED", "phase": "done", "arm": "candidate",
    "model": {"name": "x", "version": "1"}, "generation": 1, "fence": 9, "claims": 0, "bucket": "results",
    "object": "users/eve/x", "deadline": "2099-01-01T00:00:00Z", "expireTime": "2099-01-01T00:00:00Z", "result": {},
    "error": {}, "cache": {"hit": True}, "deleted": False, "leaseExpireTime": None, "__proto__": {}, "input": {},
    "timings": {}, "trace": "x", "quota": 0, "admin": True,
}  # fmt: skip


@pytest.mark.parametrize("field", SERVER_FIELDS)
def test_a_field_of_ours_is_refused_and_never_stored(stack: Backend, field: str) -> None:
    async def steps() -> None:
        async with caller(stack, "mallory") as mallory:
            answer = await mallory.post("/v1/predictions", json=JPEG | {field: SERVER_FIELDS[field]})
            assert answer.status_code == 400
            assert answer.json()["error"]["details"] == [{"field": field, "description": "unknown field"}]
            assert (await mallory.get("/v1/predictions")).json()["predictions"] == []

    run(steps())


def test_feedback_says_a_verdict_and_nothing_else(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "alice") as alice:
            name = (await announce(alice))["id"]
            stack.succeed(name)
            for field in ("ownerUid", "arm", "corrects", "digest", "object", "createTime"):
                path = f"/v1/predictions/{name}/feedback/{uuid.uuid4()}"
                answer = await alice.put(path, json={"verdict": "good", field: "x"})
                assert answer.status_code == 400
            assert stack.documents.query(f"predictions/{name}/feedback") == []

    run(steps())


OPERATORS = ["/v1/rollout", "/v1/retrain", "/v1/dead-letters", "/v1/admin", "/v1/stats", "/v1/users", "/metrics"]
OPERATORS += ["/v1/projects/p/topics/segment:publish", "/push", "/storage/v1/b", "/docs", "/.env", "/v1/settings"]


@pytest.mark.parametrize("path", OPERATORS)
def test_what_operators_may_is_no_part_of_the_api(stack: Backend, path: str) -> None:
    async def steps() -> None:
        async with caller(stack, "alice") as alice:
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                answer = await alice.request(method, path)
                assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")

    run(steps())


def test_a_request_id_belongs_to_its_caller(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "alice") as alice, caller(stack, "bob") as bob:
            same = await asyncio.gather(*(announce(alice, requestId="🗝 key") for _ in range(50)))
            assert len({one["id"] for one in same}) == 1
            other = await announce(bob, requestId="🗝 key")
            assert other["id"] != same[0]["id"]
            assert "alice" not in json.dumps(other)
            changed = await alice.post("/v1/predictions", json=JPEG | {"requestId": "🗝 key", "lane": "bulk"})
            assert changed.status_code == 409
            for wrong in ("", "x" * 129, "a\nb", "\u200b" * 3, 7, None, ["k"]):
                answer = await alice.post("/v1/predictions", json=JPEG | {"requestId": wrong})
                assert answer.status_code == 400, wrong

    run(steps())


WORDS = re.compile(r"Traceback|[a-z]Error\b|Exception|\.py|/home|/tmp|/usr|/var|[Ss]qlite|shared\.|0x[0-9a-f]{6}")


def test_every_refusal_has_one_form_and_tells_nothing_of_the_inside(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "alice") as alice, caller(stack) as nobody:
            name = (await announce(alice))["id"]
            requests: list[tuple[httpx.AsyncClient, str, str, dict[str, Any]]] = [
                (nobody, "GET", "/v1/predictions", {}),
                (alice, "GET", "/v1/nothing", {}),
                (alice, "PATCH", "/v1/predictions", {}),
                (alice, "POST", "/v1/predictions", {"content": b"{"}),
                (alice, "POST", "/v1/predictions", {"content": b"\xff\xfe"}),
                (alice, "POST", "/v1/predictions", {"content": b"x" * 100_000}),
                (alice, "GET", "/v1/predictions?pageToken=" + quote("../../etc/passwd"), {}),
                (alice, "PUT", f"/v1/predictions/{name}/feedback/{FEEDBACK}", {"json": {"verdict": "good"}}),
                (alice, "PUT", f"/v1/predictions/{name}/feedback/x", {"json": {"verdict": "good"}}),
                (alice, "GET", "/v1/models/..%2f..%2fetc", {}),
            ]
            for client, method, path, rest in requests:
                answer = await client.request(method, path, **rest)
                error = answer.json()["error"]
                assert set(error) == {"code", "status", "message", "details"}
                assert error["code"] == answer.status_code
                assert 400 <= answer.status_code < 500
                assert not WORDS.search(answer.text), answer.text
                for header, value in STRICT.items():
                    assert answer.headers[header] == value

    run(steps())


STRICT = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "content-type": "application/json",
}


def test_answers_that_succeed_are_as_strict_and_open_to_no_other_origin(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "alice") as alice:
            name = (await announce(alice))["id"]
            for path in (f"/v1/predictions/{name}", "/v1/predictions", "/v1/models", "/v1/openapi.json", "/healthz"):
                answer = await alice.get(path, headers={"origin": "https://evil.example"})
                assert answer.status_code == 200
                assert {header: answer.headers[header] for header in STRICT} == STRICT
                assert not [header for header in answer.headers if header.startswith("access-control")]
                assert "server" not in answer.headers

    run(steps())


def test_a_prediction_takes_a_hundred_pieces_of_feedback_and_no_more(
    stack: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.api.feedback.MOST", 3)

    async def steps() -> None:
        async with caller(stack, "alice") as alice:
            name = (await announce(alice))["id"]
            stack.succeed(name)
            paths = [f"/v1/predictions/{name}/feedback/{uuid.uuid4()}" for _ in range(5)]
            answers = [(await alice.put(path, json={"verdict": "bad"})).status_code for path in paths]
            assert answers == [201, 201, 201, 409, 409]

    run(steps())
