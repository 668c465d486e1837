"""A service's RPCs by its generated transport, as the generated client around it would call them: Google's errors, the
header that names the library, the one that says which data is meant.

The client itself is left out: it loads transports over REST and for event loops, which cost a cold start more than all
that is called here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.adapters.google.channels import channel
from shared.adapters.google.errors import TIMEOUT
from shared.adapters.google.libraries import load


class Rpcs:
    """`package` holds the transports, `host` is an emulator's `host:port`; empty is Google's own, with the process's
    credentials. Safe for threads."""

    def __init__(self, package: str, service: str, host: str = "") -> None:
        transport = getattr(load(f"{package}.grpc"), f"{service}GrpcTransport")
        self._info = load(f"{package}.base").DEFAULT_CLIENT_INFO
        self._transport = transport(channel=channel(host)) if host else transport(always_use_jwt_access=True)
        self._wrapped: dict[str, Any] = {}

    def __call__(
        self, rpc: str, request: Any, about: Mapping[str, str], metadata: Sequence[tuple[str, str]] = ()
    ) -> Any:
        """One attempt. `about`: the fields of the request by which Google finds whom to ask."""
        routing = load("google.api_core.gapic_v1.routing_header").to_grpc_metadata(tuple(about.items()))
        return self._call(rpc)(request, timeout=TIMEOUT, metadata=[*metadata, routing])

    def close(self) -> None:
        self._transport.close()

    def _call(self, rpc: str) -> Any:
        if rpc not in self._wrapped:
            wrap = load("google.api_core.gapic_v1.method").wrap_method
            self._wrapped[rpc] = wrap(getattr(self._transport, rpc), client_info=self._info)
        return self._wrapped[rpc]
