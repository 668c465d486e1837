"""Each profile's ports, and that making them costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.adapters.google.documents import FirestoreDocuments
from shared.adapters.google.objects import CloudStorageObjects
from shared.adapters.google.services import CloudRunServices
from shared.adapters.google.topics import PubSubTopics
from shared.adapters.local.services import LocalServices
from shared.errors import Misconfigured
from shared.runtime import connect
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_production_is_google_throughout() -> None:
    runtime = connect(Settings.from_env({"MASKLINE_PROFILE": "gcp", "MASKLINE_PROJECT": "p"}))
    ports = (runtime.documents, runtime.objects, runtime.topics, runtime.services)
    assert tuple(map(type, ports)) == (FirestoreDocuments, CloudStorageObjects, PubSubTopics, CloudRunServices)


def test_the_emulators_have_googles_adapters_too(tmp_path: Path) -> None:
    urls = {f"{name}_url": "http://127.0.0.1:1" for name in ("documents", "broker", "objects")}
    runtime = connect(Settings.from_env({}, profile="emulator", data=tmp_path, **urls))
    ports = (runtime.documents, runtime.objects, runtime.topics, runtime.services)
    assert tuple(map(type, ports)) == (FirestoreDocuments, CloudStorageObjects, PubSubTopics, LocalServices)


def test_a_stand_in_for_cloud_run_is_spoken_to_as_cloud_run(tmp_path: Path) -> None:
    urls = {f"{name}_url": "http://127.0.0.1:1" for name in ("documents", "broker", "objects", "services")}
    runtime = connect(Settings.from_env({}, profile="emulator", data=tmp_path, **urls))
    assert type(runtime.services) is CloudRunServices


def test_without_emulators_somebody_must_start_them() -> None:
    with pytest.raises(Misconfigured, match="--profile emulator"):
        connect(Settings.from_env({}, profile="emulator"))


def test_connecting_in_production_loads_no_client_and_asks_for_no_credentials() -> None:
    probe = (
        "import sys; from shared.runtime import connect; from shared.settings import Settings\n"
        "connect(Settings.from_env({'MASKLINE_PROFILE': 'gcp'}))\n"
        "heavy = ('grpc._channel', 'google.auth.credentials', 'google.api_core.exceptions', 'requests', 'sqlite3')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
