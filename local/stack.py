"""Which processes make up the local profile and how they find each other."""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import dataclass, replace

from shared.settings import Settings

FUNCTIONS = ("accept", "settle", "api")


@dataclass(frozen=True, slots=True)
class Role:
    """One process: how it is started, and the loopback port that it answers `/healthz` on."""

    name: str
    port: int
    command: tuple[str, ...]


def wired(settings: Settings, public_port: int) -> tuple[Settings, list[Role]]:
    """The settings that all children share, and the children in the order in which they stop accepting work last."""
    objects, broker, scaler, accept, settle, api = free_ports(6)
    endpoints = {"accept": url(accept), "settle": url(settle), "segment": url(scaler)}
    metrics = {"objects": objects, "broker": broker, "scaler": scaler}
    watched = [text for name, port in metrics.items() for text in ("--metrics", f"{name}={url(port)}")]
    roles = [
        _role("objects", objects),
        _role("broker", broker, "--endpoints", json.dumps(endpoints)),
        _role("scaler", scaler),
        *(_function(name, port) for name, port in zip(FUNCTIONS, (accept, settle, api), strict=True)),
        _role("gateway", public_port, "--api", url(api), "--objects", url(objects), *watched),
    ]
    return _with_urls(settings, public_port, broker, objects), roles


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


def _with_urls(settings: Settings, public_port: int, broker: int, objects: int) -> Settings:
    keys = settings.data / "run" / "jwks.json"
    return replace(
        settings,
        data=settings.data.resolve(),
        url=url(public_port),
        broker_url=url(broker),
        objects_url=url(objects),
        jwks_url=settings.jwks_url or keys.resolve().as_uri(),
    )
