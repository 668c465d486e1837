"""The HTTP API over real local stores, in this process."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from starlette.responses import StreamingResponse

from shared.api.call import Call
from shared.api.service import Service
from shared.api.watching import watch
from shared.identity import Identity
from shared.limits import MAX_BYTES
from shared.logs import Log
from shared.prediction import Phase, State
from tests.integration.apis import JPEG, Backend, announce, backend, caller

T = TypeVar("T")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Backend]:
    made = backend(tmp_path)
    yield made
    made.documents.close()
    made.objects.close()


def run(steps: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(steps)


def test_an_announced_photo_gets_an_upload_url_that_allows_exactly_it(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            made = await announce(ada, lane="bulk", outputs=["rle"])
            stored = stack.prediction(made["id"])
            assert made["state"] == "AWAITING_UPLOAD"
            assert made["documentPath"] == f"predictions/{made['id']}"
            assert f"users%2Fada%2F{made['id']}" in made["uploadUrl"]
            assert made["uploadHeaders"]["content-type"] == "image/jpeg"
            assert made["uploadHeaders"]["x-goog-content-length-range"] == "1,1000"
            assert f"users%2Fada%2F{made['id']}" in made["resumableUploadUrl"]
            assert made["resumableUploadUrl"] != made["uploadUrl"]
            assert (stored.owner_uid, stored.object) == ("ada", f"users/ada/{made['id']}")
            assert stored.deadline - stored.create_time == timedelta(seconds=stack.settings.bulk_deadline_seconds)
            shown = (await ada.get(f"/v1/predictions/{made['id']}")).json()
            assert (shown["phase"], shown["lane"], shown["outputs"]) == ("waiting_for_upload", "bulk", ["rle"])
            assert shown["input"] == {"contentType": "image/jpeg", "sizeBytes": 1000}

    run(steps())


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"contentType": "image/gif"}, "contentType"),
        ({}, "contentType"),
        ({"contentType": ["image/jpeg"]}, "contentType"),
        (JPEG | {"sizeBytes": MAX_BYTES + 1}, "sizeBytes"),
        (JPEG | {"sizeBytes": True}, "sizeBytes"),
        (JPEG | {"lane": "fast"}, "lane"),
        (JPEG | {"outputs": ["mask"]}, "outputs"),
        (JPEG | {"outputs": [{}]}, "outputs"),
        (JPEG | {"requestId": "x" * 129}, "requestId"),
        (JPEG | {"requestId": ""}, "requestId"),
        (JPEG | {"webhook": "https://example.com"}, "webhook"),
        (JPEG | {"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(stack: Backend, body: dict[str, Any], named: str) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            answer = await ada.post("/v1/predictions", json=body)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
            assert [one["field"] for one in error["details"]] == [named]

    run(steps())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 400),
        (b"[1]", 400),
        (b'"\\ud800"', 400),
        (b'{"\\ud800":1}', 400),
        (b"[" * 60_000, 400),
        (b" " * 70_000, 413),
    ],
)
def test_a_body_that_is_no_small_json_object_is_refused(stack: Backend, body: bytes, code: int) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            assert (await ada.post("/v1/predictions", content=body)).status_code == code

    run(steps())


def test_the_same_request_id_makes_one_prediction_however_often_and_fast_it_comes(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada, caller(stack, "bob") as bob:
            many = await asyncio.gather(*(announce(ada, requestId="r-1") for _ in range(12)))
            assert len({one["id"] for one in many}) == 1
            assert (await announce(bob, requestId="r-1"))["id"] != many[0]["id"]
            assert len((await ada.get("/v1/predictions")).json()["predictions"]) == 1
            stack.queue(many[0]["id"])
            again = await announce(ada, requestId="r-1")
            assert (again["id"], again["state"], "uploadUrl" in again) == (many[0]["id"], "QUEUED", False)

    run(steps())


def test_a_request_id_that_comes_with_another_photo_is_a_conflict(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            made = await announce(ada, requestId="r-1")
            stack.succeed(made["id"])
            answer = await ada.post("/v1/predictions", json=JPEG | {"requestId": "r-1", "sizeBytes": 2})
            assert (answer.status_code, answer.json()["error"]["status"]) == (409, "FAILED_PRECONDITION")

    run(steps())


def test_nobody_sees_what_is_not_theirs_and_cannot_tell_it_from_nothing(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada, caller(stack, "bob") as bob, caller(stack) as nobody:
            made = await announce(ada)
            path = f"/v1/predictions/{made['id']}"
            theirs = await bob.get(path)
            unknown = await bob.get("/v1/predictions/p" + "a" * 25)
            malformed = await bob.get("/v1/predictions/..%2Fx")
            assert theirs.status_code == unknown.status_code == 404
            assert theirs.content == unknown.content
            assert malformed.status_code == 404
            assert (await bob.post(f"{path}:cancel")).content == theirs.content
            assert (await bob.get(f"{path}:watch")).content == theirs.content
            refused = await nobody.get(path)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert refused.headers["x-content-type-options"] == "nosniff"
            assert refused.headers["cache-control"] == "no-store"

    run(steps())


def test_a_finished_prediction_shows_the_contract_and_nothing_internal(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            made = await announce(ada)
            stack.succeed(made["id"])
            shown = (await ada.get(f"/v1/predictions/{made['id']}")).json()
            assert set(shown) == {
                *("id", "state", "phase", "lane", "outputs", "input", "model", "result", "timings", "claims", "cache"),
                *("deadline", "createTime", "updateTime", "expireTime"),
            }
            assert set(shown["result"]) == {"maskUrl", "width", "height", "sha256", "classes"}
            assert "/storage/download/results/" in shown["result"]["maskUrl"]
            assert shown["cache"] == {"hit": False}
            assert shown["createTime"].endswith("Z")

    run(steps())


def test_what_was_asked_for_beside_the_mask_has_links_of_its_own(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            made = await announce(ada, outputs=["rle", "preview"])
            folder = f"predictions/{made['id']}/7/1"
            stack.succeed(made["id"], outputs={"rle": f"{folder}/rle.json", "preview": f"{folder}/preview.jpg"})
            result = (await ada.get(f"/v1/predictions/{made['id']}")).json()["result"]
            assert set(result) == {"maskUrl", "rleUrl", "previewUrl", "width", "height", "sha256", "classes"}
            assert "rle.json" in result["rleUrl"]
            assert "preview.jpg" in result["previewUrl"]

    run(steps())


def test_a_queued_photo_says_whether_an_instance_has_to_start(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            made = await announce(ada)
            stack.queue(made["id"])
            path = f"/v1/predictions/{made['id']}"
            assert (await ada.get(path)).json()["phase"] == "starting_instance"
            lost = datetime.now(UTC) - timedelta(seconds=31)
            stack.documents.create("instances/old", {"state": "ready", "heartbeatTime": lost})
            assert (await ada.get(path)).json()["phase"] == "starting_instance"
            stack.documents.create("instances/new", {"state": "ready", "heartbeatTime": datetime.now(UTC)})
        async with caller(stack, "ada") as ada:  # a new process: nothing remembered
            assert (await ada.get(path)).json()["phase"] == "queued"

    run(steps())


def test_a_listing_walks_in_pages_from_the_newest_and_filters_by_state(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada, caller(stack, "bob") as bob:
            made = [(await announce(ada))["id"] for _ in range(5)]
            await announce(bob)
            stack.queue(made[2])
            seen: list[str] = []
            token = ""
            for _ in range(3):
                answer = await ada.get("/v1/predictions", params={"pageSize": 2, "pageToken": token})
                seen += [one["id"] for one in answer.json()["predictions"]]
                token = answer.json().get("nextPageToken", "")
            assert (seen, token) == (made[::-1], "")
            queued = (await ada.get("/v1/predictions", params={"state": "QUEUED"})).json()
            assert [one["id"] for one in queued["predictions"]] == [made[2]]

    run(steps())


def forged(*parts: object) -> str:
    """A page token that we never gave."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


NOW, SOME_ID = "2026-01-01T00:00:00+00:00", "p" + "a" * 25


@pytest.mark.parametrize(
    "query",
    [
        *("pageSize=0", "pageSize=x", "pageToken=x", "pageToken=W10", "state=DONE", "size=1"),
        f"pageToken={forged(NOW, chr(0xD800), '')}",
        f"pageToken={forged(NOW, 1, '')}",
        f"pageToken={forged(NOW, SOME_ID, 'QUEUED')}",
        f"pageToken={forged(NOW[:-6], SOME_ID, '')}",
        f"pageToken={forged('0001-01-01T00:00:00+14:00', SOME_ID, '')}",
    ],
)
def test_a_listing_refuses_what_it_does_not_know(stack: Backend, query: str) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            assert (await ada.get(f"/v1/predictions?{query}")).status_code == 400

    run(steps())


async def watched(stack: Backend, name: str) -> AsyncIterator[str]:
    """What the stream of a prediction says, piece by piece."""
    service = Service(stack.runtime, Identity(stack.settings), Log("api", write=stack.logged.append))
    response = await watch(service, Call("ada", {"id": name}, {}, {}))
    assert isinstance(response, StreamingResponse)
    assert response.media_type == "text/event-stream"
    async for piece in response.body_iterator:
        yield str(piece)


def shown(piece: str) -> dict[str, Any]:
    kind, data, *rest = piece.split("\n")
    assert (kind, rest) == ("event: prediction", ["", ""])
    document: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return document


def test_watching_shows_each_step_and_ends_with_the_prediction(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            name = (await announce(ada))["id"]
            stream = watched(stack, name)
            assert shown(await anext(stream))["state"] == "AWAITING_UPLOAD"
            stack.queue(name)
            assert shown(await anext(stream))["phase"] == "starting_instance"
            stack.documents.create("instances/new", {"state": "ready", "heartbeatTime": datetime.now(UTC)})
            assert shown(await anext(stream))["phase"] == "queued"
            await ada.post(f"/v1/predictions/{name}:cancel")
            last = [shown(piece) async for piece in stream]
            assert [one["state"] for one in last] == ["CANCELLED"]

    run(steps())


def test_watching_what_has_ended_shows_it_and_ends(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            name = (await announce(ada))["id"]
            stack.succeed(name)
            pieces = (await ada.get(f"/v1/predictions/{name}:watch")).text
            assert shown(pieces)["result"]["maskUrl"]

    run(steps())


def test_watching_ends_when_the_prediction_is_deleted(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            name = (await announce(ada))["id"]
            stream = watched(stack, name)
            await anext(stream)
            await ada.delete(f"/v1/predictions/{name}")
            assert all(shown(piece)["state"] == "CANCELLED" for piece in [piece async for piece in stream])

    run(steps())


def test_a_silent_watch_sends_comments(stack: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps() -> None:
        monkeypatch.setattr("shared.api.watching.HEARTBEAT", 0.05)
        async with caller(stack, "ada") as ada:
            stream = watched(stack, (await announce(ada))["id"])
            await anext(stream)
            assert (await anext(stream)).startswith(": ")
            await stream.aclose()  # type: ignore[attr-defined]

    run(steps())


def test_cancelling_ends_what_is_unfinished_and_may_be_repeated(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            made = await announce(ada)
            path = f"/v1/predictions/{made['id']}:cancel"
            first, second = await ada.post(path), await ada.post(path)
            assert (first.status_code, second.status_code) == (200, 200)
            assert first.json()["state"] == second.json()["state"] == "CANCELLED"
            done = await announce(ada)
            stack.succeed(done["id"])
            late = await ada.post(f"/v1/predictions/{done['id']}:cancel")
            assert (late.status_code, late.json()["error"]["status"]) == (409, "FAILED_PRECONDITION")
            assert stack.prediction(done["id"]).state is State.SUCCEEDED
            assert stack.prediction(made["id"]).phase is Phase.DONE

    run(steps())


def test_paths_and_methods_that_do_not_exist_say_so_in_json(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack) as nobody:
            missing, wrong = await nobody.get("/v1/photos"), await nobody.put("/v1/predictions")
            assert (missing.status_code, missing.json()["error"]["status"]) == (404, "NOT_FOUND")
            assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST, GET")
            assert (await nobody.get("/healthz")).json() == {"status": "ok"}

    run(steps())


def test_what_breaks_inside_stays_inside(stack: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            made = await announce(ada)

            def broken(path: str) -> None:
                raise RuntimeError("/secret/place")

            monkeypatch.setattr(stack.documents, "get", broken)
            answer = await ada.get(f"/v1/predictions/{made['id']}")
            assert (answer.status_code, answer.json()["error"]["status"]) == (500, "INTERNAL")
            assert "secret" not in answer.text + "".join(stack.logged)
            assert "RuntimeError" in stack.logged[-1]

    run(steps())
