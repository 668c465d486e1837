"""Which adapters the contract suites run over: add a row, and every test runs over it.

A row makes a fresh, empty adapter in a context manager; `folder` is a temporary directory of its own. It may call
`pytest.skip` where the thing behind it cannot be started. Objects adapters know the buckets `uploads` and `results`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects
from shared.adapters.local.services import LocalServices
from shared.ports import Documents, Objects, Services
from tests.contract.google_adapters import cloud_run_services, cloud_storage_objects, firestore_documents
from tests.contract.queues import Queue, local_queue, pubsub_queue


@contextmanager
def local_documents(folder: Path) -> Iterator[Documents]:
    documents = LocalDocuments(folder / "documents.db")
    yield documents
    documents.close()


@contextmanager
def local_objects(folder: Path) -> Iterator[Objects]:
    objects = LocalObjects(folder, "http://127.0.0.1:8080")
    yield objects
    objects.close()


@contextmanager
def local_services(folder: Path) -> Iterator[Services]:
    with local_documents(folder) as documents:
        yield LocalServices(documents)


DOCUMENTS: Mapping[str, Callable[[Path], AbstractContextManager[Documents]]] = {
    "local": local_documents,
    "firestore": firestore_documents,
}
OBJECTS: Mapping[str, Callable[[Path], AbstractContextManager[Objects]]] = {
    "local": local_objects,
    "cloud storage": cloud_storage_objects,
}
QUEUES: Mapping[str, Callable[[Path], AbstractContextManager[Queue]]] = {
    "local": local_queue,
    "pubsub": pubsub_queue,
}
SERVICES: Mapping[str, Callable[[Path], AbstractContextManager[Services]]] = {
    "local": local_services,
    "cloud run": cloud_run_services,
}
