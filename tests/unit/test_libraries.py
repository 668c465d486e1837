"""Packages entered without being opened: what is asked for is there, what is not asked for has not run."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from shared.adapters.google.libraries import load
from shared.imports import quick_imports

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a package whose `__init__` makes `Heavy`, with a module and a package inside."""
    name = f"library_{uuid4().hex}"
    inner = tmp_path / name / "calls"
    inner.mkdir(parents=True)
    (tmp_path / name / "__init__.py").write_text("from .messages import Message\n\n\nclass Heavy: ...\n")
    (tmp_path / name / "messages.py").write_text("class Message: ...\n")
    (inner / "__init__.py").write_text("raise AssertionError('opened')\n")
    (inner / "client.py").write_text("from .. import messages\nMESSAGE = messages.Message\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


def test_a_module_comes_without_its_packages(library: str) -> None:
    client = load(f"{library}.calls.client")
    assert client.MESSAGE is sys.modules[f"{library}.messages"].Message
    assert "Heavy" not in vars(sys.modules[library])
    assert load(f"{library}.calls.client") is client


def test_a_thread_waits_for_what_another_is_just_importing(library: str, tmp_path: Path) -> None:
    slow = "import time\ntime.sleep(0.3)\nMESSAGE = 1\n"  # half made for as long as this takes
    (tmp_path / library / "calls/slow.py").write_text(slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: load(f"{library}.calls.slow").MESSAGE, range(4)))
    assert found == [1, 1, 1, 1]


def test_whoever_asks_for_a_name_gets_the_whole_package(library: str) -> None:
    client = load(f"{library}.calls.client")
    package = sys.modules[library]
    assert package.Heavy.__module__ == library
    assert package.Message is client.MESSAGE
    assert sys.modules[library] is package


def test_what_is_nowhere_is_missed_as_always(library: str) -> None:
    load(f"{library}.calls.client")
    with pytest.raises(AttributeError):
        _ = sys.modules[library].nothing
    with pytest.raises(ModuleNotFoundError):
        load(f"{library}.calls.nothing")
    with pytest.raises(ModuleNotFoundError):
        load(f"{library}_not.installed")


def test_googles_own_clients_still_work_afterwards() -> None:
    probe = (
        "import sys; from shared.adapters.google.libraries import load\n"
        "load('google.cloud.firestore_v1.services.firestore.client'); load('google.pubsub_v1.types.pubsub')\n"
        "print('google.cloud.firestore_v1.bulk_writer' in sys.modules, 'google.pubsub_v1.services' in sys.modules)\n"
        "from google.cloud import firestore, pubsub_v1\n"
        "print(firestore.Client.__name__, pubsub_v1.PublisherClient.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "Client", "PublisherClient"]


def test_whoever_has_an_event_loop_a_certificate_or_a_key_has_them_whole() -> None:
    probe = (
        "from shared.adapters.google.libraries import leave_unopened, load\n"
        "leave_unopened(); load('google.cloud.firestore_v1.services.firestore.transports.grpc'); import sys\n"
        "left = [m for m in ('asyncio.events', 'cryptography.x509.name', 'google.auth.crypt.es', 'grpc.aio._call',"
        " 'charset_normalizer.api', 'opentelemetry.trace.span') if m in sys.modules]\n"
        "import asyncio, grpc.aio, requests\n"
        "from cryptography import x509\n"
        "from cryptography.hazmat.primitives.asymmetric import ec\n"
        "from google.auth import crypt, jwt\n"
        "from google.cloud.firestore_v1.services.firestore.async_client import FirestoreAsyncClient\n"
        "async def channel(): return grpc.aio.insecure_channel('127.0.0.1:1')\n"
        "signer = crypt.EsSigner(ec.generate_private_key(ec.SECP256R1()))\n"
        "answer = requests.Response(); answer._content = 'é'.encode('latin-1')\n"
        "print(left, type(asyncio.run(channel())).__name__, x509.Certificate.__name__, FirestoreAsyncClient.__name__,"
        " jwt.encode(signer, {}).count(b'.'), bool(answer.text))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "Channel", "Certificate", "FirestoreAsyncClient", "2", "True"]


def test_a_version_is_told_without_opening(library: str, tmp_path: Path) -> None:
    (tmp_path / library / "version.py").write_text("__version__ = '7'\n")
    load(f"{library}.calls.client")
    assert sys.modules[library].__version__ == "7"
    assert "Heavy" not in vars(sys.modules[library])


def test_threads_that_open_a_package_at_once_all_find_it_open(library: str, tmp_path: Path) -> None:
    (tmp_path / library / "__init__.py").write_text("import time\ntime.sleep(0.3)\nclass Heavy: ...\n")
    load(f"{library}.calls.client")
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: sys.modules[library].Heavy, range(4)))
    assert len(found) == 1


def test_garbage_is_collected_again_but_not_among_what_was_imported() -> None:
    before = gc.get_freeze_count()
    with quick_imports():
        assert not gc.isenabled()
        kept = [[] for _ in range(10)]  # type: ignore[var-annotated]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(kept)
    gc.unfreeze()
