"""Rows for Google's adapters, against the official emulators, the local object server and a stand-in for Cloud Run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.adapters.google.documents import FirestoreDocuments
from shared.adapters.google.objects import CloudStorageObjects
from shared.adapters.google.services import CloudRunServices
from shared.adapters.local.objects import LocalObjects
from shared.ports import Documents, Objects, Services
from tests.contract import cloud_run, emulators, object_server


@contextmanager
def firestore_documents(folder: Path) -> Iterator[Documents]:
    documents = FirestoreDocuments(emulators.new_project(), emulators.firestore())
    yield documents
    documents.close()


@contextmanager
def cloud_storage_objects(folder: Path) -> Iterator[Objects]:
    """Signed URLs are the object server's own, as in the emulator profile."""
    stored = LocalObjects(folder, "http://127.0.0.1:8080")
    with object_server.serving(stored) as url:
        objects = CloudStorageObjects("project", stored.sign, url)
        yield objects
        objects.close()


@contextmanager
def cloud_run_services(folder: Path) -> Iterator[Services]:
    with cloud_run.serving() as fake:
        services = CloudRunServices("project", "europe-west4", fake.host)
        yield services
        services.close()
