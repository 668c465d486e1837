"""api: the HTTP API that apps, scripts and the console talk to.

Trigger          HTTPS requests under /v1, with a Firebase ID token
Output           JSON; predictions/{id} AWAITING_UPLOAD or CANCELLED, tombstones, predictions/{id}/feedback/{feedbackId}
Idempotency key  (user, requestId) for a new prediction, (prediction, feedbackId) for feedback; the rest by nature
Failure policy   the caller is told what to change (4xx) or to come again (429, 503); nothing is retried here
"""

from __future__ import annotations

from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from shared.api.app import Api
from shared.api.errors import INTERNAL
from shared.errors import Misconfigured
from shared.logs import Log
from shared.runtime import runtime

log = Log("api")


@lru_cache(maxsize=1)
def _api() -> Api:
    return Api(runtime(), log)


async def api(request: Request) -> Response:
    try:
        answers = _api()
    except Misconfigured as error:
        log.error("misconfigured", message=str(error))
        return INTERNAL.response()
    return await answers(request)
