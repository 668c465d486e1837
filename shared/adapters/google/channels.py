"""Connections to an emulator or a stand-in: gRPC without TLS."""

from __future__ import annotations

from typing import Any

# gRPC waits longer after each failed attempt to connect, up to 2 minutes, and fails every call meanwhile: after an
# outage of 45 s, calls failed for 13 s more. Here the other side is on this machine, and asking it costs nothing.
_OPTIONS = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000))


def channel(host: str) -> Any:
    import grpc

    return grpc.insecure_channel(host, _OPTIONS)


def async_channel(host: str) -> Any:
    """Belongs to the running event loop."""
    from grpc.aio import insecure_channel

    return insecure_channel(host, _OPTIONS)
