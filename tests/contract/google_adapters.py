"""Rows for Google's adapters, against the official emulators and the local object server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.adapters.google.documents import FirestoreDocuments
from shared.ports import Documents
from tests.contract import emulators


@contextmanager
def firestore_documents(folder: Path) -> Iterator[Documents]:
    documents = FirestoreDocuments(emulators.new_project(), emulators.firestore())
    yield documents
    documents.close()
