"""HTTP answers in the contract's shape, and reading a body that may be too large."""

from __future__ import annotations

import asyncio
import math

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import Busy, MasklineError, Rejected, Retryable
from shared.limits import MAX_BYTES
from shared.prediction import Reason

_STATUS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    408: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_BODY_SECONDS = 30.0  # s until a body must be there: who sends slower keeps a place from others
_TOO_LARGE = f"A photo has at most {MAX_BYTES >> 20} MiB."


class TooSlow(Retryable):
    """The body did not come in time."""


def refusal(code: int, message: str, reason: str = "", headers: dict[str, str] | None = None) -> Response:
    details = [{"reason": reason}] if reason else []
    error = {"code": code, "status": _STATUS[code], "message": message, "details": details}
    return JSONResponse({"error": error}, code, headers)


def refused(error: MasklineError) -> Response:
    """The answer for an error of ours."""
    if isinstance(error, Rejected):
        code = 413 if error.reason == Reason.TOO_LARGE else 400
        return refusal(code, str(error), str(error.reason))
    if isinstance(error, Busy):
        return refusal(429, str(error), headers=retry_after(error.retry_after))
    if isinstance(error, TooSlow):
        return refusal(408, str(error))
    if isinstance(error, Retryable):
        return refusal(503, str(error), headers=retry_after(1))
    return refusal(500, "The photo could not be segmented.", Reason.INTERNAL)


def retry_after(seconds: float) -> dict[str, str]:
    return {"retry-after": str(max(1, math.ceil(seconds)))}


async def body_of(request: Request, limit: int = MAX_BYTES) -> bytes:
    """The whole body. Raises `Rejected` as soon as it is known to be too large, before reading when it says so, and
    `TooSlow`."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise Rejected(Reason.TOO_LARGE, _TOO_LARGE)
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await _read(request, limit)
    except TimeoutError:
        raise TooSlow("The body took too long to arrive.") from None


async def _read(request: Request, limit: int) -> bytes:
    """What was announced may be a lie, so that it is counted again."""
    chunks, size = [], 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise Rejected(Reason.TOO_LARGE, _TOO_LARGE)
    return b"".join(chunks)
