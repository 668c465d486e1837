"""The functions' entry points as the framework calls them, in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import functions_framework
import httpx
from functions_framework.aio import create_asgi_app

from shared import pipeline

_FUNCTIONS = Path(__file__).resolve().parent.parent / "functions"


class Function(Protocol):
    def post(self, body: Any, headers: Mapping[str, str] | None = None, url: str = "http://localhost") -> int:
        """The status of the answer to JSON."""


def function(stage: str) -> Function:
    row = pipeline.load().stages[stage]
    source = str(_FUNCTIONS / stage / "main.py")
    return (_Asynchronous if row.asynchronous else _Plain)(row.entry, source, row.signature)


class _Asynchronous:
    """Each request on an event loop of its own."""

    def __init__(self, *about: str) -> None:
        self._app = create_asgi_app(*about)  # type: ignore[no-untyped-call]

    def post(self, body: Any, headers: Mapping[str, str] | None = None, url: str = "http://localhost") -> int:
        async def ask() -> int:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url=url) as client:
                kind = {"content-type": "application/json"}
                return (
                    await client.post("/", content=json.dumps(body), headers={**kind, **(headers or {})})
                ).status_code

        return asyncio.run(ask())


class _Plain:
    def __init__(self, *about: str) -> None:
        self._client = functions_framework.create_app(*about).test_client()  # type: ignore[no-untyped-call]
        self._client.application.config["PROPAGATE_EXCEPTIONS"] = False

    def post(self, body: Any, headers: Mapping[str, str] | None = None, url: str = "http://localhost") -> int:
        return int(self._client.post("/", json=body, headers=headers, base_url=url).status_code)
