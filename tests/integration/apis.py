"""An API in this process over real local stores, and callers of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import Route

from local import devtoken
from shared.adapters.google.documents import FirestoreDocuments
from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects
from shared.adapters.local.services import LocalServices
from shared.api.app import Api
from shared.logs import Log
from shared.ports import Message
from shared.prediction import Phase, Prediction, State
from shared.runtime import Runtime
from shared.settings import Settings

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]


class NoTopics:
    """The API publishes nothing."""

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        raise AssertionError("the API publishes nothing")

    def publish_all(self, topic: str, messages: Sequence[Message]) -> Sequence[str | Exception]:
        raise AssertionError("the API publishes nothing")


@dataclass
class Backend:
    """What the tests look at and change behind the API's back."""

    settings: Settings
    documents: LocalDocuments | FirestoreDocuments
    objects: LocalObjects
    logged: list[str]

    @property
    def runtime(self) -> Runtime:
        return Runtime(self.settings, self.documents, self.objects, NoTopics(), LocalServices(self.documents))

    def application(self) -> Starlette:
        api = Api(self.runtime, Log("api", write=self.logged.append))
        return Starlette(routes=[Route("/{path:path}", api.__call__, methods=METHODS)])

    def prediction(self, name: str) -> Prediction:
        snapshot = self.runtime.store.get(name)
        assert snapshot is not None
        return snapshot.prediction

    def queue(self, name: str) -> Prediction:
        """As accept does when the photo is there."""
        queued = self.runtime.store.update(
            name, lambda stored, now: stored.moved(State.QUEUED, Phase.QUEUED, generation=7, publish_time=now)
        )
        assert queued is not None
        return queued

    def succeed(
        self, name: str, size: tuple[int, int] = (40, 30), outputs: Mapping[str, str] | None = None
    ) -> Prediction:
        """As the container does, with a mask of `size` (width, height)."""
        self.queue(name)
        mask = self.objects.put("results", f"predictions/{name}/7/1/mask.png", b"mask", "image/png")
        result = {
            "bucket": "results",
            "object": mask.name,
            "generation": mask.generation,
            "outputs": outputs or {},
            "sha256": "ab" * 32,
            "width": size[0],
            "height": size[1],
            "classes": [{"id": 1, "name": "sky", "pixels": 10, "fraction": 0.5, "box": [0, 0, 1, 1]}],
        }
        model = {"name": "starter", "version": "1", "arm": "stable"}
        self.runtime.store.update(name, lambda stored, _: stored.moved(State.RUNNING, Phase.STORING, fence=1))
        ended = self.runtime.store.update(
            name, lambda stored, _: stored.ended(State.SUCCEEDED, result=result, model=model)
        )
        assert ended is not None
        return ended


def backend(data: Path, **settings: Any) -> Backend:
    chosen = Settings.from_env({}, data=data, url="http://maskline.test", **settings)
    return Backend(chosen, LocalDocuments(data / "documents.db"), LocalObjects(data, chosen.url), [])


@asynccontextmanager
async def caller(
    stack: Backend, user: str = "", application: Starlette | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that signs in as `user`, or not at all; of another `application` than the stack's own, if given."""
    headers = {"authorization": f"Bearer {devtoken.issue(stack.settings, user)}"} if user else {}
    transport = httpx.ASGITransport(application or stack.application())
    async with httpx.AsyncClient(transport=transport, base_url="http://maskline.test", headers=headers) as client:
        yield client


JPEG = {"contentType": "image/jpeg", "sizeBytes": 1000}


async def announce(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/predictions", json=JPEG | body)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document
