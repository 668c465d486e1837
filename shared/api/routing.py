"""Which handler answers a request. Paths are written as in the OpenAPI document; a test holds the two together."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from starlette.responses import Response

from shared.api.call import Call
from shared.api.errors import WrongMethod
from shared.api.service import Service
from shared.errors import NotFound

_PARAMETER = re.compile(r"\{(\w+)\}")
_NO_PATH = "There is nothing at this path."

Handler = Callable[[Service, Call], Response]  # blocks: runs in a thread
AsyncHandler = Callable[[Service, Call], Awaitable[Response]]  # runs on the event loop


@dataclass(frozen=True)
class Route:
    """`body_bytes`: the longest body that is read, 0: the body is ignored."""

    method: str
    path: str
    handler: Handler | AsyncHandler
    public: bool = False
    body_bytes: int = 0

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        parts = _PARAMETER.split(self.path)  # text, name, text, name, …
        texts = [re.escape(part) if i % 2 == 0 else f"(?P<{part}>[^/:]+)" for i, part in enumerate(parts)]
        return re.compile("".join(texts))


def match(routes: Sequence[Route], method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    """Raises `NotFound` or `WrongMethod`."""
    found = [(route, hit.groupdict()) for route in routes if (hit := route.pattern.fullmatch(path))]
    if not found:
        raise NotFound(_NO_PATH)
    for route, params in found:
        if route.method == method:
            return route, params
    raise WrongMethod([route.method for route, _ in found])
