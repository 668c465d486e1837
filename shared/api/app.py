"""The API as one callable: from a request to a response, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from shared.api.call import Call
from shared.api.errors import TooLarge, TooSlow, problem_of
from shared.api.routes import routes
from shared.api.routing import Route, match
from shared.api.service import Service
from shared.api.threads import in_thread
from shared.errors import Denied
from shared.identity import Identity
from shared.logs import Log
from shared.runtime import Runtime

_BODY_SECONDS = 30.0  # s
_NO_TOKEN = "An ID token is required: send it as `Authorization: Bearer …`."  # noqa: S105 - a sentence


class Api:
    """One per process. Raises `Misconfigured` when made."""

    def __init__(self, runtime: Runtime, log: Log) -> None:
        self._service = Service(runtime, Identity(runtime.settings), log)
        self._routes: Sequence[Route] = routes(runtime.settings)

    async def __call__(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except Exception as error:
            problem = problem_of(error)
            if problem.code >= 500:
                self._log_failure(request, error)
            return problem.response()

    async def _answer(self, request: Request) -> Response:
        route, params = match(self._routes, request.method, request.scope["path"])
        uid = "" if route.public else await in_thread(self._service.identity.verify, _token(request))
        body = await _read(request, route.body_bytes) if route.body_bytes else b""
        call = Call(uid, params, dict(request.query_params), dict(request.headers), body)
        if inspect.iscoroutinefunction(route.handler):
            response: Response = await route.handler(self._service, call)
            return response
        return await in_thread(route.handler, self._service, call)  # type: ignore[arg-type]

    def _log_failure(self, request: Request, error: Exception) -> None:
        """Where it happened, by function and line: never what was in the variables, nor a path."""
        frames = traceback.extract_tb(error.__traceback__)[-5:]
        where = [f"{frame.name}:{frame.lineno}" for frame in frames]
        self._service.log.error("failed", method=request.method, error=type(error).__name__, where=where)


def _token(request: Request) -> str:
    """Of the one `Authorization` header: where there are two, nobody may choose."""
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise Denied(_NO_TOKEN)
    return token.strip()


async def _read(request: Request, most: int) -> bytes:
    """The body, read no further than `most` bytes and waited for no longer than a patient phone needs."""
    data = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > most:
                    raise TooLarge(f"The body may have at most {most // 1024} KiB.")
    except TimeoutError:
        raise TooSlow("The body took too long to arrive.") from None
    return bytes(data)
