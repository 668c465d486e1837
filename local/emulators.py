"""The official Firestore and Pub/Sub emulators, started directly with java: no gcloud wrapper, which would leave the
JVM behind when it is stopped, and a small heap. What they do differently from the cloud: docs/architecture."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from shared.errors import Misconfigured

START_SECONDS = 40.0
_JVM = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.language=en")
_FIRESTORE_MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
_FOLDERS = ("/usr/lib/google-cloud-sdk", "/usr/share/google-cloud-sdk", "~/google-cloud-sdk", "/opt/google-cloud-sdk")


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator: it owns its process group."""

    name: str
    host: str  # "127.0.0.1:port"
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """SIGTERM to the group, SIGKILL if that is not enough; returns when it is gone."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(5)
            except ProcessLookupError:
                self.process.wait()
            except subprocess.TimeoutExpired:
                continue
            return


def firestore_command(port: int, rules: Path | None = None) -> list[str]:
    """Raises `Misconfigured` if java or the emulator is not installed."""
    jar = _jar("cloud-firestore-emulator/cloud-firestore-emulator.jar")
    options = ["--host", "127.0.0.1", "--port", str(port)]
    return [_java(), *_JVM, "-cp", str(jar), _FIRESTORE_MAIN, *options, *(["--rules", str(rules)] if rules else [])]


def pubsub_command(port: int, jvm: Sequence[str] = _JVM) -> list[str]:
    """Raises `Misconfigured` if java or the emulator is not installed."""
    jar = _jar("pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar")
    return [_java(), *jvm, "-jar", str(jar), "--host=127.0.0.1", f"--port={port}"]


def start_firestore(log: IO[Any] | int = subprocess.DEVNULL, rules: Path | None = None, port: int = 0) -> Emulator:
    """On `port`, or any that is free."""
    port = port or free_port()
    return _start("firestore", port, firestore_command(port, rules), log)


def start_pubsub(log: IO[Any] | int = subprocess.DEVNULL, jvm: Sequence[str] = _JVM) -> Emulator:
    """`jvm`: options for Java; gcloud gives none."""
    port = free_port()
    return _start("pubsub", port, pubsub_command(port, jvm), log)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready(host: str) -> bool:
    """Whether an emulator answers at `host`."""
    connection = http.client.HTTPConnection(host, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _start(name: str, port: int, command: Sequence[str], log: IO[Any] | int) -> Emulator:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    emulator = Emulator(name, f"127.0.0.1:{port}", process)
    give_up = time.monotonic() + START_SECONDS
    while not ready(emulator.host):
        if process.poll() is not None:
            raise Misconfigured(f"the {name} emulator ended with status {process.returncode} instead of starting")
        if time.monotonic() > give_up:
            emulator.stop()
            raise Misconfigured(f"the {name} emulator did not answer within {START_SECONDS:.0f} seconds")
        time.sleep(0.05)
    return emulator


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise Misconfigured("the emulators need Java 17: install a JRE, for example `apt install default-jre-headless`")
    return java


def _jar(pattern: str) -> Path:
    """The newest file of that name in the SDK's `platform` folder."""
    for root in _sdk_roots():
        found = sorted((root / "platform").glob(pattern))
        if found:
            return found[-1]
    component = pattern.partition("/")[0]
    raise Misconfigured(f"the {component} is not installed: `gcloud components install {component}`, or by apt")


def _sdk_roots() -> list[Path]:
    gcloud = shutil.which("gcloud")
    beside = [Path(gcloud).resolve().parent.parent] if gcloud else []
    return [*beside, *(Path(folder).expanduser() for folder in _FOLDERS)]
