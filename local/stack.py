"""Which processes make up the local and the emulator profile, and how they find each other."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from local.emulators import firestore_command, pubsub_command
from shared.settings import Settings

FUNCTIONS = ("accept", "settle", "api")


@dataclass(frozen=True, slots=True)
class Role:
    """One process: how it is started, and the loopback port and path that answer 200 once it is healthy."""

    name: str
    port: int
    command: tuple[str, ...]
    health: str = "/healthz"


@dataclass(frozen=True, slots=True)
class Ports:
    public: int
    objects: int
    broker: int
    documents: int
    scheduler: int
    scaler: int
    accept: int
    settle: int
    api: int


def wired(settings: Settings, public_port: int) -> tuple[Settings, list[Role]]:
    """The settings that all children share, and the children in the order in which they stop accepting work last.

    Raises `Misconfigured` if the emulator profile's emulators are not installed.
    """
    ports = Ports(public_port, *free_ports(8))
    emulated = settings.profile == "emulator"
    roles = [
        _role("objects", ports.objects),
        *(_emulators(ports) if emulated else [_role("broker", ports.broker, "--endpoints", _endpoints(ports))]),
        _role("scaler", ports.scaler),
        *(_function(name, getattr(ports, name)) for name in FUNCTIONS),
        _gateway(ports, ("objects", "scaler") if emulated else ("objects", "broker", "scaler")),
    ]
    return _with_urls(settings, ports, emulated), roles


def _emulators(ports: Ports) -> list[Role]:
    """Documents and queue of the emulator profile, and who wires the queue."""
    wiring = (sys.executable, "-m", "local.pubsub", "--port", str(ports.scheduler), "--endpoints", _endpoints(ports))
    return [
        Role("firestore", ports.documents, tuple(firestore_command(ports.documents)), "/"),
        Role("pubsub", ports.broker, tuple(pubsub_command(ports.broker)), "/"),
        Role("scheduler", ports.scheduler, wiring),
    ]


def _endpoints(ports: Ports) -> str:
    return json.dumps({"accept": url(ports.accept), "settle": url(ports.settle), "segment": url(ports.scaler)})


def _gateway(ports: Ports, watched: Sequence[str]) -> Role:
    metrics = [text for name in watched for text in ("--metrics", f"{name}={url(getattr(ports, name))}")]
    return _role("gateway", ports.public, "--api", url(ports.api), "--objects", url(ports.objects), *metrics)


def backends(settings: Settings) -> dict[str, str]:
    """The settings by which a command reaches what the stack's processes reach."""
    return {name: getattr(settings, name) for name in ("profile", "documents_url", "broker_url", "objects_url", "url")}


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now; all are held until the last is chosen, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _role(name: str, port: int, *arguments: str) -> Role:
    return Role(name, port, (sys.executable, "-m", f"local.{name}", "--port", str(port), *arguments))


def _function(name: str, port: int) -> Role:
    return Role(name, port, (sys.executable, "-m", "local.function", name, "--port", str(port)))


def _with_urls(settings: Settings, ports: Ports, emulated: bool) -> Settings:
    keys = settings.data / "run" / "jwks.json"
    return replace(
        settings,
        data=settings.data.resolve(),
        url=url(ports.public),
        documents_url=url(ports.documents) if emulated else "",
        broker_url=url(ports.broker),
        objects_url=url(ports.objects),
        jwks_url=settings.jwks_url or keys.resolve().as_uri(),
    )
