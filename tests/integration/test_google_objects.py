"""Cloud Storage on a bad day: faults between the official client and the object server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.adapters.google.objects import CloudStorageObjects
from shared.adapters.local.objects import LocalObjects
from shared.errors import AlreadyExists, Conflict, Misconfigured, Retryable, StorageFull
from tests.contract import object_server

PHOTO = bytes(range(256)) * 40


class Faults:
    """ASGI middleware. `answers`: statuses for the next requests, None passes one on; with `late` the request is served
    first and its answer lost; `damage` flips the first byte of what is downloaded."""

    def __init__(self) -> None:
        self.answers: list[int | None] = []
        self.late = False
        self.damage = False
        self.requests = 0
        self.app: ASGIApp

    def around(self, app: ASGIApp) -> ASGIApp:
        self.app = app
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.requests += 1
        status = self.answers.pop(0) if self.answers else None
        if status is None:
            await self.app(scope, receive, self._damaged(send) if self.damage else send)
            return
        if self.late:
            await self.app(scope, receive, _nowhere)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def _damaged(self, send: Send) -> Send:
        async def damaged(message: Message) -> None:
            if message.get("body"):
                message["body"] = bytes([message["body"][0] ^ 1]) + message["body"][1:]
            await send(message)

        return damaged


async def _nowhere(message: Message) -> None:
    pass


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def objects(tmp_path: Path, faults: Faults) -> Iterator[CloudStorageObjects]:
    stored = LocalObjects(tmp_path)
    with object_server.serving(stored, faults.around) as url:
        objects = CloudStorageObjects("project", stored.sign, url)
        yield objects
        objects.close()


def test_passing_faults_pass(objects: CloudStorageObjects, faults: Faults) -> None:
    faults.answers = [503, 500, 429]
    put = objects.put("uploads", "a", PHOTO, "image/jpeg", if_generation_match=0)
    faults.answers = [502, 408]
    assert objects.get("uploads", "a", put.generation) == PHOTO
    assert faults.requests == 7


def test_faults_that_stay_are_told(objects: CloudStorageObjects, faults: Faults) -> None:
    faults.answers = [503] * 20
    with pytest.raises(Retryable):
        objects.stat("uploads", "a")
    assert faults.requests == 5


def test_a_lost_answer_to_a_creation_says_that_it_exists(objects: CloudStorageObjects, faults: Faults) -> None:
    """The caller, whose name it is, then knows that it was its own (inference_container/claims.py)."""
    faults.answers, faults.late = [503], True
    with pytest.raises(AlreadyExists):
        objects.put("results", "mask", PHOTO, "image/png", if_generation_match=0)
    assert objects.get("results", "mask") == PHOTO


def test_bytes_that_changed_on_the_way_are_not_believed(objects: CloudStorageObjects, faults: Faults) -> None:
    objects.put("uploads", "a", PHOTO, "image/jpeg")
    faults.damage = True
    with pytest.raises(Retryable):
        objects.get("uploads", "a")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_for_a_person(objects: CloudStorageObjects, faults: Faults, status: int) -> None:
    faults.answers = [status]
    with pytest.raises(Misconfigured):
        objects.stat("uploads", "a")
    assert faults.requests == 1


def test_a_failed_precondition_is_not_tried_again(objects: CloudStorageObjects, faults: Faults) -> None:
    objects.put("uploads", "a", PHOTO, "image/jpeg")
    before = faults.requests
    with pytest.raises(Conflict):
        objects.put("uploads", "a", PHOTO, "image/jpeg", if_generation_match=12345)
    assert faults.requests == before + 1


def test_a_large_object_goes_up_in_parts(objects: CloudStorageObjects, faults: Faults) -> None:
    """Beyond 8 MiB the client opens a resumable session; preconditions and checksums hold there, too."""
    large = PHOTO * 900
    put = objects.put("uploads", "large", large, "image/jpeg", if_generation_match=0)
    assert (put.size, objects.get("uploads", "large")) == (len(large), large)
    with pytest.raises(AlreadyExists):
        objects.put("uploads", "large", large, "image/jpeg", if_generation_match=0)


def test_a_full_disk_of_the_object_server_is_said(objects: CloudStorageObjects, faults: Faults) -> None:
    faults.answers = [507] * 5
    with pytest.raises(StorageFull):
        objects.put("uploads", "a", PHOTO, "image/jpeg")
