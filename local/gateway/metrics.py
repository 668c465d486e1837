"""The watched services' Prometheus texts as one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

_PATIENCE = aiohttp.ClientTimeout(total=2.0)  # s for one service


async def collect(session: aiohttp.ClientSession, watched: Mapping[str, str]) -> str:
    """`watched`: name → base URL. A service that does not answer is named in a comment and counts as down."""
    texts = dict(zip(watched, await asyncio.gather(*(_text(session, url) for url in watched.values())), strict=True))
    lines = ["# TYPE maskline_up gauge"]
    lines += [f'maskline_up{{service="{name}"}} {text is not None:d}' for name, text in texts.items()]
    lines += [f"# {name} is down" if text is None else text.strip() for name, text in texts.items()]
    return "\n".join(lines) + "\n"


async def _text(session: aiohttp.ClientSession, url: str) -> str | None:
    try:
        async with session.get(f"{url}/metrics", timeout=_PATIENCE) as answer:
            return await answer.text() if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError):
        return None
