"""accept: one uploaded photo becomes one queued prediction.

Trigger          push subscription `accept-uploads` on topic `uploads` (Cloud Storage notifications)
Output           predictions/{id}: QUEUED, or REJECTED by its header; a message on topic `segment`
Idempotency key  (bucket, object, generation)
Failure policy   malformed events are logged and acked; everything else fails the request, so that it comes again

An HTTP function, although it takes events: the framework gives an async function of events neither Pub/Sub's own
envelope nor the request's headers (ADR 0012).
"""

from __future__ import annotations

from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from shared import envelope, pushers
from shared.accepting import accepting
from shared.envelope import NoPush
from shared.errors import Denied, Malformed
from shared.events import Uploaded
from shared.logs import Log
from shared.runtime import runtime

log = Log("accept")
_accepting = lru_cache(maxsize=1)(accepting)


async def on_upload(request: Request) -> Response:
    try:
        await pushers.check_headers(runtime().settings, request.headers)
        push = envelope.decode(await request.body())
        uploaded = Uploaded.from_message(push.data, push.attributes)
    except Denied as error:
        log.error("denied", message=str(error))
        return Response(status_code=403)
    except NoPush as error:
        return Response(str(error), 400)
    except Malformed as error:
        log.error("malformed", message=str(error))
        return Response("OK")
    await _accepting(runtime(), log)(uploaded)
    return Response("OK")
