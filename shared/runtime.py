"""The composition root: from settings to the three ports. Nothing is opened before its first use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from shared.errors import Misconfigured
from shared.ports import Documents, Objects, Topics
from shared.settings import Settings
from shared.store import PredictionStore


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a stage works with. Safe for threads."""

    settings: Settings
    documents: Documents
    objects: Objects
    topics: Topics

    @property
    def store(self) -> PredictionStore:
        return PredictionStore(self.documents)


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    """This process's runtime, made by the first request: a server forks after it has loaded a function's module."""
    return connect(Settings.from_env())


def connect(settings: Settings) -> Runtime:
    """Raises `Misconfigured`."""
    if settings.profile == "local":
        return _local(settings)
    raise Misconfigured(f"the profile {settings.profile!r} is not available yet")


def _local(settings: Settings) -> Runtime:
    from shared.adapters.local.documents import LocalDocuments
    from shared.adapters.local.objects import LocalObjects
    from shared.adapters.local.topics import LocalTopics

    return Runtime(
        settings,
        LocalDocuments(settings.data / "documents.db"),
        LocalObjects(settings.data, settings.url, settings.uploads_bucket, settings.results_bucket),
        LocalTopics(settings.broker_url, settings.project),
    )
