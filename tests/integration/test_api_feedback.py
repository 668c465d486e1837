"""Feedback, deletion, models and the API's own description, over real local stores."""

from __future__ import annotations

import asyncio
import io
import re
import uuid
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from PIL import Image

from shared.api import openapi
from shared.api.routes import routes
from shared.prediction import State
from shared.settings import Settings
from tests.integration.apis import Backend, announce, backend, caller

T = TypeVar("T")
PNG = {"content-type": "image/png"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Backend]:
    made = backend(tmp_path)
    yield made
    made.documents.close()
    made.objects.close()


def run(steps: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(steps)


def mask(value: int = 1, size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, value).save(file, "PNG")
    return file.getvalue()


async def done(stack: Backend, client: httpx.AsyncClient) -> str:
    name: str = (await announce(client))["id"]
    stack.succeed(name)
    return name


def test_a_verdict_counts_once_however_often_it_is_sent(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            path = f"/v1/predictions/{await done(stack, ada)}/feedback/{uuid.uuid4()}"
            first, again = await ada.put(path, json={"verdict": "good"}), await ada.put(path, json={"verdict": "good"})
            other = await ada.put(path, json={"verdict": "bad"})
            assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
            assert first.json() == again.json()
            assert first.json()["verdict"] == "good"
            assert first.json()["model"] == {"name": "starter", "version": "1", "arm": "stable"}

    run(steps())


def test_a_corrected_mask_is_kept_beside_the_result_that_it_corrects(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            name, feedback = await done(stack, ada), str(uuid.uuid4())
            path = f"/v1/predictions/{name}/feedback/{feedback}"
            many = await asyncio.gather(*(ada.put(path, content=mask(), headers=PNG) for _ in range(4)))
            assert {answer.status_code for answer in many} <= {200, 201}
            assert len({answer.text for answer in many}) == 1
            other = await ada.put(path, content=mask(2), headers=PNG)
            assert other.status_code == 409
            kept = Image.open(io.BytesIO(stack.objects.get("results", f"feedback/{name}/{feedback}.png")))
            assert (kept.size, kept.getextrema()) == ((40, 30), (1, 1))
            document = stack.documents.get(f"predictions/{name}/feedback/{feedback}")
            assert document is not None
            corrects = {"resultSha256": "ab" * 32, "generation": "7", "model": "starter", "version": "1"}
            assert document.data["corrects"] == corrects

    run(steps())


def test_a_mask_whose_document_was_never_written_is_finished_by_the_next_try(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            name, feedback = await done(stack, ada), str(uuid.uuid4())
            path = f"/v1/predictions/{name}/feedback/{feedback}"
            await ada.put(path, content=mask(), headers=PNG)
            stack.documents.delete(f"predictions/{name}/feedback/{feedback}")
            assert (await ada.put(path, content=mask(2), headers=PNG)).status_code == 409
            assert (await ada.put(path, content=mask(), headers=PNG)).status_code == 201

    run(steps())


def test_masks_may_only_hold_classes_of_the_model(stack: Backend) -> None:
    async def steps() -> None:
        classes = [{"id": 0, "name": "other"}, {"id": 1, "name": "sky"}]
        stack.documents.create("models/starter", {"version": "1", "classes": classes, "path": "/models/starter"})
        async with caller(stack, "ada") as ada:
            path = f"/v1/predictions/{await done(stack, ada)}/feedback/"
            fine = await ada.put(path + str(uuid.uuid4()), content=mask(1), headers=PNG)
            wrong = await ada.put(path + str(uuid.uuid4()), content=mask(2), headers=PNG)
            assert (fine.status_code, wrong.status_code) == (201, 400)

    run(steps())


@pytest.mark.parametrize(
    ("content", "headers", "code"),
    [
        (b'{"verdict":"fine"}', {"content-type": "application/json"}, 400),
        (b'{"verdict":"good","why":1}', {"content-type": "application/json"}, 400),
        (b'{"verdict":["good"]}', {"content-type": "application/json"}, 400),
        (b" " * 70_000, {"content-type": "application/json"}, 413),
        (b"good", {"content-type": "text/plain"}, 415),
        (b"good", {}, 415),
        (mask(size=(30, 40)), PNG, 400),
        (bytes((1 << 20) + 1), PNG, 413),
    ],
)
def test_feedback_of_another_form_is_refused(
    stack: Backend, content: bytes, headers: dict[str, str], code: int
) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            path = f"/v1/predictions/{await done(stack, ada)}/feedback/{uuid.uuid4()}"
            assert (await ada.put(path, content=content, headers=headers)).status_code == code

    run(steps())


def test_feedback_needs_a_uuid_and_a_result_of_ones_own(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada, caller(stack, "bob") as bob:
            name = await done(stack, ada)
            good = {"verdict": "good"}
            assert (await ada.put(f"/v1/predictions/{name}/feedback/1", json=good)).status_code == 400
            theirs = await bob.put(f"/v1/predictions/{name}/feedback/{uuid.uuid4()}", json=good)
            assert theirs.status_code == 404
            early = (await announce(ada))["id"]
            refused = await ada.put(f"/v1/predictions/{early}/feedback/{uuid.uuid4()}", json=good)
            assert (refused.status_code, refused.json()["error"]["status"]) == (409, "FAILED_PRECONDITION")

    run(steps())


def test_a_deleted_prediction_is_gone_with_all_that_belongs_to_it(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada, caller(stack, "bob") as bob:
            name = (await announce(ada, requestId="r-1"))["id"]
            stack.objects.put("uploads", f"users/ada/{name}", b"photo", "image/jpeg")
            stack.succeed(name)
            path = f"/v1/predictions/{name}"
            await ada.put(f"{path}/feedback/{uuid.uuid4()}", content=mask(), headers=PNG)
            assert (await bob.delete(path)).status_code == 404
            assert (await ada.get(path)).status_code == 200
            assert (await ada.delete(path)).status_code == 204
            unknown = await ada.get("/v1/predictions/p" + "a" * 25)
            for answer in (await ada.get(path), await ada.delete(path), await ada.post(f"{path}:cancel")):
                assert (answer.status_code, answer.content) == (404, unknown.content)
            assert (await ada.get("/v1/predictions")).json() == {"predictions": []}
            assert stack.objects.list("results") == []
            assert stack.documents.query(f"predictions/{name}/feedback") == []
            tombstone = stack.prediction(name)
            assert (tombstone.deleted, tombstone.state, tombstone.result) == (True, State.SUCCEEDED, {})
            again = await ada.post("/v1/predictions", json={"contentType": "image/png", "requestId": "r-1"})
            assert again.status_code == 409

    run(steps())


def test_deleting_what_is_unfinished_cancels_it_and_removes_the_photo(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            name = (await announce(ada))["id"]
            stack.objects.put("uploads", f"users/ada/{name}", b"photo", "image/jpeg")
            assert (await ada.delete(f"/v1/predictions/{name}")).status_code == 204
            assert stack.prediction(name).state is State.CANCELLED
            assert stack.objects.list("uploads") == []

    run(steps())


def test_a_deletion_that_died_halfway_is_finished_by_the_next(stack: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            name = await done(stack, ada)
            with monkeypatch.context() as patch:
                patch.setattr("shared.tidy.delete_objects", lambda *_: 1 / 0)
                assert (await ada.delete(f"/v1/predictions/{name}")).status_code == 500
            assert (await ada.get(f"/v1/predictions/{name}")).status_code == 404
            assert (await ada.delete(f"/v1/predictions/{name}")).status_code == 204
            assert stack.objects.list("results") == []

    run(steps())


def test_a_user_who_leaves_takes_everything_along_and_nothing_of_others(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada, caller(stack, "ada2") as other:
            names = [await done(stack, ada) for _ in range(3)]
            kept = await done(stack, other)
            stack.objects.put("uploads", "users/ada/stray.jpg", b"photo", "image/jpeg")
            stack.objects.put("uploads", "users/ada2/stray.jpg", b"photo", "image/jpeg")
            assert (await ada.delete("/v1/me")).status_code == 204
            assert (await ada.delete("/v1/me")).status_code == 204
            assert all(stack.prediction(name).deleted for name in names)
            assert (await other.get(f"/v1/predictions/{kept}")).status_code == 200
            assert [one.name for one in stack.objects.list("uploads")] == ["users/ada2/stray.jpg"]
            assert len(stack.objects.list("results")) == 1

    run(steps())


def test_a_deletion_that_takes_long_asks_to_be_called_again(stack: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            for _ in range(2):
                await announce(ada)
            monkeypatch.setattr("shared.api.removal._PATIENCE", -1.0)
            answer = await ada.delete("/v1/me")
            assert (answer.status_code, answer.json()) == (202, {"done": False})
            monkeypatch.undo()
            assert (await ada.delete("/v1/me")).status_code == 204

    run(steps())


def test_models_show_their_card_and_not_where_they_lie(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            assert (await ada.get("/v1/models")).json() == {"models": []}
            stack.documents.create("models/starter", {"version": "1", "classes": [], "path": "/models/starter"})
            shown = (await ada.get("/v1/models/starter")).json()
            assert set(shown) == {"name", "version", "classes", "updateTime"}
            assert (await ada.get("/v1/models")).json() == {"models": [shown]}
            assert (await ada.get("/v1/models/other")).status_code == 404
            assert (await ada.get("/v1/models/..")).status_code == 404

    run(steps())


def test_the_console_gets_a_token_on_a_laptop(stack: Backend) -> None:
    async def steps() -> None:
        async with caller(stack) as page:
            started = (await page.post("/v1/dev/session")).json()
            headers = {"authorization": f"Bearer {started['token']}"}
            assert (await page.get("/v1/predictions", headers=headers)).status_code == 200
            assert started["user"] == "demo"

    run(steps())


def test_production_has_no_development_routes() -> None:
    production = routes(Settings.from_env({"MASKLINE_PROFILE": "gcp"}))
    assert [route.path for route in production if "dev" in route.path] == []
    assert {route.path for route in production if route.public} == {"/healthz", "/v1/openapi.json"}


@pytest.mark.parametrize("profile", ["local", "gcp"])
def test_the_openapi_document_describes_exactly_the_routes(profile: str) -> None:
    described = openapi.document(production=profile == "gcp")["paths"]
    served = routes(Settings.from_env({"MASKLINE_PROFILE": profile}))
    assert {(route.method.lower(), route.path) for route in served} == {
        (method, path) for path, operations in described.items() for method in operations
    }
    for route in served:
        operation = described[route.path][route.method.lower()]
        assert (operation.get("security") == []) is route.public
        assert ("requestBody" in operation) is (route.body_bytes > 0)
        named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", route.path))


def test_every_reference_of_the_openapi_document_leads_somewhere(stack: Backend) -> None:
    async def steps() -> dict[str, Any]:
        async with caller(stack) as nobody:
            document: dict[str, Any] = (await nobody.get("/v1/openapi.json")).json()
            return document

    document = run(steps())
    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from [node["$ref"]] if "$ref" in node else []
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_answers_have_the_fields_that_the_openapi_document_promises(stack: Backend) -> None:
    async def steps() -> None:
        schemas = openapi.document(production=False)["components"]["schemas"]

        def check(name: str, shown: dict[str, Any]) -> None:
            assert set(schemas[name]["required"]) <= set(shown) <= set(schemas[name]["properties"])

        async with caller(stack, "ada") as ada:
            made = await announce(ada)
            check("Announced", made)
            stack.succeed(made["id"])
            shown = (await ada.get(f"/v1/predictions/{made['id']}")).json()
            check("Prediction", shown)
            check("Class", shown["result"]["classes"][0])
            path = f"/v1/predictions/{made['id']}/feedback/{uuid.uuid4()}"
            check("Feedback", (await ada.put(path, content=mask(), headers=PNG)).json())
            check("Error", (await ada.get("/v1/models/none")).json())

    run(steps())
