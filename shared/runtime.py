"""The composition root: from settings to the four ports. Nothing is opened before its first use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from shared.errors import Misconfigured
from shared.ports import Documents, Objects, Services, Topics
from shared.settings import Settings
from shared.store import PredictionStore


@dataclass(frozen=True, slots=True)
class Together:
    """Where many writes may share one commit: what a thread writes inside a block is durable when the block ends. A
    call that raises has written nothing; if the block raises, none of them has."""

    documents: Callable[[], AbstractContextManager[object]]
    objects: Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a stage works with. Safe for threads."""

    settings: Settings
    documents: Documents
    objects: Objects
    topics: Topics
    services: Services
    together: Together | None = None

    @property
    def store(self) -> PredictionStore:
        return PredictionStore(self.documents)


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    """This process's runtime, made by the first request: a server forks after it has loaded a function's module."""
    return connect(Settings.from_env())


def connect(settings: Settings) -> Runtime:
    """Raises `Misconfigured`."""
    return {"local": _local, "emulator": _emulator, "gcp": _gcp}[settings.profile](settings)


def _local(settings: Settings) -> Runtime:
    from shared.adapters.local.documents import LocalDocuments
    from shared.adapters.local.objects import LocalObjects
    from shared.adapters.local.services import LocalServices
    from shared.adapters.local.topics import LocalTopics

    documents = LocalDocuments(settings.data / "documents.db")
    objects = LocalObjects(settings.data, settings.url, settings.uploads_bucket, settings.results_bucket)
    return Runtime(
        settings,
        documents,
        objects,
        LocalTopics(settings.broker_url, settings.project),
        LocalServices(documents),
        Together(documents.together, objects.together),
    )


def _emulator(settings: Settings) -> Runtime:
    """Google's adapters on the official emulators and the local object server, which checks its own signed URLs."""
    from shared.adapters.google.documents import FirestoreDocuments
    from shared.adapters.google.objects import CloudStorageObjects
    from shared.adapters.google.topics import PubSubTopics, by_arm_and_lane
    from shared.adapters.local.objects import LocalObjects
    from shared.adapters.local.services import LocalServices

    if not (settings.documents_url and settings.broker_url and settings.objects_url):
        raise Misconfigured("no emulators are running: start them with `maskline up --profile emulator`")
    documents = FirestoreDocuments(settings.project, urlsplit(settings.documents_url).netloc)
    signer = LocalObjects(settings.data, settings.url, settings.uploads_bucket, settings.results_bucket)
    return Runtime(
        settings,
        documents,
        CloudStorageObjects(settings.project, signer.sign, settings.objects_url),
        PubSubTopics(settings.project, urlsplit(settings.broker_url).netloc, by_arm_and_lane),
        LocalServices(documents),
    )


def _gcp(settings: Settings) -> Runtime:
    from shared.adapters.google.documents import FirestoreDocuments
    from shared.adapters.google.objects import CloudStorageObjects
    from shared.adapters.google.services import CloudRunServices
    from shared.adapters.google.signing import IamSigning
    from shared.adapters.google.topics import PubSubTopics

    return Runtime(
        settings,
        FirestoreDocuments(settings.project),
        CloudStorageObjects(settings.project, IamSigning()),
        PubSubTopics(settings.project),
        CloudRunServices(settings.project, settings.region),
    )
