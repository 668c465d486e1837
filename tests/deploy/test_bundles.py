"""The functions as they are deployed: the same bytes every time, all that they need in them, and nothing else."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy import bundle
from deploy.requirements import closure, pins
from shared.errors import Misconfigured
from tests.deploy.backends import REQUESTS, Backends, backends
from tests.deploy.unpacked import Unpacked, unpack

ROOT = bundle.ROOT
STAGES = bundle.functions()
PINNED = pins((ROOT / "constraints.txt").read_text("utf-8"))

# What must not be loaded, also not by the first request: each of these is a tenth of a second of a cold start or more.
NEVER = {
    *("PIL", "sqlite3"),
    *("google.cloud.firestore", "google.cloud.firestore_v1.async_client", "google.cloud.firestore_v1.bulk_writer"),
    *("google.pubsub_v1.services.subscriber.client", "google.pubsub_v1.services.schema_service.client"),
    *("google.cloud.pubsub_v1", "google.cloud.run_v2.services.jobs.client"),
    *("google.cloud.firestore_v1.services.firestore.client", "google.pubsub_v1.services.publisher.client"),
    *("charset_normalizer.api", "cryptography.x509.name", "opentelemetry.trace.span"),
}
NOT_ITS_OWN = {
    "accept": {"google.cloud.run_v2", "jwt", "cryptography", "grpc.aio._call"},
    "settle": {"google.cloud.run_v2", "jwt", "cryptography", "grpc.aio._call"},
    "api": {"google.cloud.run_v2", "google.pubsub_v1", "grpc.aio._call"},
    "prewarm": {"google.cloud.firestore_v1", "google.cloud.storage", "google.pubsub_v1", "jwt"},
}
MOST = {"accept": 820, "settle": 740, "api": 830, "prewarm": 790}  # modules, the framework's 380 among them, async 480


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    bundle.write(folder, STAGES)
    return folder


@pytest.fixture(scope="module")
def index(out: Path) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads((out / bundle.INDEX).read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def unpacked(out: Path, index: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Unpacked]:
    folder = tmp_path_factory.mktemp("unpacked")
    return {stage: unpack(out / file, stage, folder / stage, folder / "environments") for stage, file in index.items()}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    with backends(tmp_path_factory.mktemp("data")) as found:
        yield found


# -- the bytes


def test_every_function_has_a_bundle_named_by_its_content(out: Path, index: Mapping[str, str]) -> None:
    assert (
        set(index)
        == set(STAGES)
        == {path.name for path in (ROOT / "functions").iterdir() if path.is_dir()} - {"__pycache__"}
    )
    for stage, file in index.items():
        assert file == f"{stage}-{hashlib.sha256((out / file).read_bytes()).hexdigest()[:16]}.zip"


def test_neither_clock_nor_umask_nor_folder_matters(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    for name in ("deploy", "functions", "shared"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"), copy_function=_copy_new)
    for name in ("pipeline.yaml", "constraints.txt"):
        shutil.copyfile(ROOT / name, copy / name)
    command = [sys.executable, "-m", "deploy.bundle", "--out", "made"]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "7"}
    subprocess.run(command, cwd=tmp_path, env=environment, umask=0o077, check=True, capture_output=True)
    assert _digests(tmp_path / "made") == _digests(out)


def test_a_bundle_holds_sources_and_nothing_of_one_machine(out: Path, index: Mapping[str, str]) -> None:
    for stage, file in index.items():
        with zipfile.ZipFile(out / file) as packed:
            names = packed.namelist()
            assert packed.read("main.py") == (ROOT / "functions" / stage / "main.py").read_bytes()
        others = [n for n in names if n not in ("main.py", "requirements.txt")]
        assert names == sorted(names)
        assert all(n.startswith("shared/") and n.endswith(".py") for n in others)
        assert not any(n.startswith("shared/adapters/local") for n in others)


def test_a_function_changes_only_with_what_it_reaches() -> None:
    reach = {stage: bundle.reached(ROOT / "functions" / stage / "main.py") for stage in STAGES}
    assert ROOT / "shared/api/app.py" in reach["api"]
    assert ROOT / "shared/api/app.py" not in reach["accept"]
    assert all(ROOT / "shared/pipeline.py" not in modules for modules in reach.values())


def test_bundling_again_forgets_what_is_old_and_keeps_the_others(tmp_path: Path) -> None:
    bundle.write(tmp_path, ["accept", "prewarm"])
    (tmp_path / "accept-0000000000000000.zip").write_bytes(b"old")
    bundle.write(tmp_path, ["accept"])
    known = json.loads((tmp_path / bundle.INDEX).read_text("utf-8"))
    assert set(known) == {"accept", "prewarm"}
    assert {path.name for path in tmp_path.glob("*.zip")} == set(known.values())


def test_what_is_no_function_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bundle.main(["--out", str(tmp_path), "segment", "nothing"]) == 1
    assert capsys.readouterr().err == "pipeline.yaml has no function nothing, segment\n"


# -- the packages


@pytest.mark.parametrize("stage", STAGES)
def test_requirements_are_the_folders_and_what_they_bring_each_pinned_as_everywhere(stage: str) -> None:
    lines = bundle.contents(stage)["requirements.txt"].decode().splitlines()
    assert set(lines) <= set(PINNED.values())
    asked = (ROOT / "functions" / stage / "requirements.txt").read_text("utf-8").splitlines()
    assert {line.replace("[crypto]", "").lower() for line in asked} < {line.lower() for line in lines}
    names = {line.partition("==")[0] for line in lines}
    assert {"gunicorn", "protobuf", "grpcio"} <= names  # nobody asks for them by name
    assert not names & {"torch", "numpy", "aiohttp", "colorama"}


def test_an_extra_brings_what_it_needs() -> None:
    assert any(line.startswith("cryptography==") for line in closure(["pyjwt[crypto]"], PINNED))
    assert closure(["pyjwt"], PINNED) == [PINNED["pyjwt"]]


@pytest.mark.parametrize(
    ("asked", "pinned", "problem"),
    [
        ("flask", {}, "no version of flask"),
        ("flask==1.0", PINNED, "flask==1.0 is asked for, but constraints.txt has Flask"),
        ("nowhere-installed", {"nowhere-installed": "nowhere-installed==1"}, "nowhere-installed is not installed"),
        ("flask", {"flask": "Flask==0.1"}, "is installed here, but constraints.txt has Flask==0.1"),
    ],
)
def test_what_cannot_be_pinned_is_named(asked: str, pinned: Mapping[str, str], problem: str) -> None:
    with pytest.raises(Misconfigured, match=problem):
        closure([asked], pinned)


# -- where they would run


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_outside_the_bundle_can_be_imported(unpacked: Mapping[str, Unpacked], stage: str) -> None:
    names = ["torch", "yaml", "numpy", "pytest", "pip", "local", "cli", "deploy", "inference_container", "tests"]
    probe = f"from importlib.util import find_spec; print([n for n in {names} if find_spec(n)])"
    assert unpacked[stage].answers(probe) == "[]"
    loaded = unpacked[stage].answers("import main, shared; print(main.__file__, shared.__file__)")
    assert all(file.startswith(str(unpacked[stage].folder)) for file in loaded.split())


@pytest.mark.parametrize("stage", STAGES)
def test_a_golden_event_has_its_effect_within_the_import_budget(
    unpacked: Mapping[str, Unpacked], behind: Backends, stage: str
) -> None:
    behind.complete(stage, unpacked[stage].folder)
    request = REQUESTS[stage](behind)
    with unpacked[stage].serving(behind) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
        assert request.send(connection) in (200, 201)
        connection.close()
        imported = running.imported()
    assert request.done()
    # One machine's adapters, which only the emulator profile asks for, come with their database.
    allowed = {"sqlite3"} if stage == "api" else set()
    assert imported & (NEVER | NOT_ITS_OWN[stage]) - allowed == set()
    assert 300 < len(imported) <= MOST[stage]


def _copy_new(source: str, target: str) -> str:
    """Without its times and mode."""
    return shutil.copyfile(source, target)


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
