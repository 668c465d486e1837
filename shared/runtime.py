"""The composition root: from settings to the four ports. Nothing is opened before its first use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from shared.errors import Misconfigured
from shared.ports import Documents, Objects, Services, SignedRequest, Topics
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
    """Google's adapters on the official emulators, the local object server and, if there is one, a stand-in for Cloud
    Run. What of this machine takes part is loaded by who needs it: a deployed bundle holds none of it."""
    from shared.adapters.google.documents import FirestoreDocuments
    from shared.adapters.google.libraries import leave_unopened
    from shared.adapters.google.objects import CloudStorageObjects
    from shared.adapters.google.topics import PubSubTopics, by_arm_and_lane

    leave_unopened()
    if not (settings.documents_url and settings.broker_url and settings.objects_url):
        raise Misconfigured("no emulators are running: start them with `maskline up --profile emulator`")
    documents = FirestoreDocuments(settings.project, urlsplit(settings.documents_url).netloc)
    return Runtime(
        settings,
        documents,
        CloudStorageObjects(settings.project, _signed_here(settings), settings.objects_url),
        PubSubTopics(settings.project, urlsplit(settings.broker_url).netloc, by_arm_and_lane),
        _services(settings, documents),
    )


def _signed_here(settings: Settings) -> Callable[..., SignedRequest]:
    """The local object server checks its own signed URLs."""

    @lru_cache(maxsize=1)
    def signer() -> Objects:
        from shared.adapters.local.objects import LocalObjects

        return LocalObjects(settings.data, settings.url, settings.uploads_bucket, settings.results_bucket)

    return lambda *request: signer().sign(*request)


def _services(settings: Settings, documents: Documents) -> Services:
    if settings.services_url:
        from shared.adapters.google.services import CloudRunServices

        return CloudRunServices(settings.project, settings.region, urlsplit(settings.services_url).netloc)
    from shared.adapters.local.services import LocalServices

    return LocalServices(documents)


def _gcp(settings: Settings) -> Runtime:
    from shared.adapters.google.documents import FirestoreDocuments
    from shared.adapters.google.libraries import leave_unopened
    from shared.adapters.google.objects import CloudStorageObjects
    from shared.adapters.google.services import CloudRunServices
    from shared.adapters.google.signing import IamSigning
    from shared.adapters.google.topics import PubSubTopics

    leave_unopened()
    return Runtime(
        settings,
        FirestoreDocuments(settings.project),
        CloudStorageObjects(settings.project, IamSigning()),
        PubSubTopics(settings.project),
        CloudRunServices(settings.project, settings.region),
    )
