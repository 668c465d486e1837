"""What deployed functions meet, as far as this machine has it: Google's emulators, the local object server, a stand-in
for Cloud Run. And for each function a request with real work in it, from the golden events."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from local import devtoken
from local.pubsub.admin import create
from local.pubsub.wiring import Resource
from shared import ids, pipeline
from shared.adapters.google.documents import FirestoreDocuments
from shared.adapters.local.objects import LocalObjects
from shared.events import Uploaded
from shared.ports import Where
from shared.prediction import COLLECTION, Phase, Prediction, State, from_data
from shared.settings import Settings
from shared.store import PredictionStore
from tests.contract import cloud_run, emulators, object_server
from tests.domain import photo
from tests.events import golden

ROOT = Path(__file__).resolve().parents[2]
QUEUE = "segment-stable-interactive"  # the emulator's topic for what `segment` gets
REGION = cloud_run.PARENT.rpartition("/")[2]
_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, and how one sees afterwards that the work was done."""

    body: bytes
    done: Callable[[], bool]
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, connection: http.client.HTTPConnection) -> int:
        """The status of the answer."""
        connection.request("POST", self.path, self.body, {"content-type": "application/json", **self.headers})
        answer = connection.getresponse()
        answer.read()
        return answer.status


@dataclass(frozen=True, slots=True)
class Backends:
    settings: Settings
    documents: FirestoreDocuments
    objects: LocalObjects
    pubsub: str  # host:port
    run: cloud_run.CloudRun

    def environment(self, stage: str) -> dict[str, str]:
        """As variables. The stand-in for Cloud Run knows one project only."""
        project = {"project": "project"} if stage == "prewarm" else {}
        here = Settings.from_env({}, **(_fields(self.settings) | project)).environment()
        return {name: value for name, value in here.items() if name.startswith("MASKLINE_")}

    def complete(self, stage: str, bundle: Path) -> None:
        """The emulator profile's upload URLs are signed by the adapters of one machine, which are not deployed."""
        if stage == "api":
            shutil.copytree(
                ROOT / "shared/adapters/local",
                bundle / "shared/adapters/local",
                ignore=shutil.ignore_patterns("__pycache__"),
            )

    def published(self) -> set[str]:
        """Ids of the predictions that were put on the queue since this was asked last."""
        answer = self._pubsub("POST", f"subscriptions/{QUEUE}:pull", {"maxMessages": 100, "returnImmediately": True})
        received = answer.get("receivedMessages", [])
        if received:
            self._pubsub("POST", f"subscriptions/{QUEUE}:acknowledge", {"ackIds": [one["ackId"] for one in received]})
        return {one["message"]["attributes"]["predictionId"] for one in received}

    def state(self, prediction_id: str) -> State | None:
        snapshot = PredictionStore(self.documents).get(prediction_id)
        return snapshot.prediction.state if snapshot else None

    def _pubsub(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        connection = http.client.HTTPConnection(self.pubsub, timeout=_SECONDS)
        try:
            connection.request(method, f"/v1/projects/{self.settings.project}/{path}", json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def backends(folder: Path) -> Iterator[Backends]:
    project, firestore, pubsub = emulators.new_project(), emulators.firestore(), emulators.pubsub()
    objects = LocalObjects(folder, "http://127.0.0.1:8080")
    documents = FirestoreDocuments(project, firestore)
    table = pipeline.load()
    topics: list[Resource] = [(f"topics/{name}", {}) for name in (*table.topics, QUEUE)]
    pull = (f"subscriptions/{QUEUE}", {"topic": f"projects/{project}/topics/{QUEUE}"})
    create(f"http://{pubsub}", project, [*topics, pull])
    with object_server.serving(objects) as url, cloud_run.serving() as run:
        settings = Settings.from_env(
            {},
            profile="emulator",
            project=project,
            region=REGION,
            data=folder,
            documents_url=f"http://{firestore}",
            broker_url=f"http://{pubsub}",
            objects_url=url,
            services_url=f"http://{run.host}",
        )
        yield Backends(settings, documents, objects, pubsub, run)
    documents.close()
    objects.close()


def upload(behind: Backends) -> Request:
    """Cloud Storage's notification of a photo that is there."""
    name = f"users/ana/{uuid4().hex}.png"
    info = behind.objects.put("uploads", name, photo(), "image/png")
    event = golden("uploaded.push")
    event["message"]["attributes"] |= {"objectId": name, "objectGeneration": str(info.generation)}
    uploaded = Uploaded.from_message(b"", event["message"]["attributes"])
    made = ids.prediction_id_of(uploaded.bucket, uploaded.object, uploaded.generation)

    def done() -> bool:
        return behind.state(made) is State.QUEUED and made in behind.published()

    return Request(_json(event), done)


def tick(behind: Backends) -> Request:
    """The sweep finds a photo whose message was lost."""
    now, long_ago = datetime.now(UTC), timedelta(hours=1)
    lost = Prediction(
        ids.new_prediction_id(), "ana", State.QUEUED, Phase.QUEUED, "uploads", "users/ana/lost.png",
        deadline=now + long_ago, expire_time=now + 2 * long_ago, create_time=now - long_ago, generation=1,
        publish_time=now - long_ago,
    )  # fmt: skip
    PredictionStore(behind.documents).create(lost)
    return Request(_json(golden("tick.push")), lambda: lost.id in behind.published())


def announce(behind: Backends) -> Request:
    """An app asks for an upload URL."""
    user = f"ana-{uuid4().hex}"
    headers = {"authorization": f"Bearer {devtoken.issue(behind.settings, user)}"}
    mine: list[Where] = [("ownerUid", "==", user)]

    def done() -> bool:
        found = behind.documents.query(COLLECTION, mine)
        return [from_data(document.data).state for document in found] == [State.AWAITING_UPLOAD]

    return Request(_json({"contentType": "image/jpeg"}), done, "/v1/predictions", headers)


def open_business(behind: Backends) -> Request:
    """An instance is to be kept awake that was not."""
    behind.run.service.scaling.min_instance_count = 0
    return Request(_json(golden("prewarm.push")), lambda: behind.run.service.scaling.min_instance_count == 1)


REQUESTS: Mapping[str, Callable[[Backends], Request]] = {
    "accept": upload,
    "api": announce,
    "settle": tick,
    "prewarm": open_business,
}


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _fields(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in Settings.__slots__}
