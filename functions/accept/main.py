"""accept: one uploaded photo becomes one queued prediction.

Trigger          push subscription `accept-uploads` on topic `uploads` (Cloud Storage notifications)
Output           predictions/{id}: QUEUED, or REJECTED by its header; a message on topic `segment`
Idempotency key  (bucket, object, generation)
Failure policy   malformed events are logged and acked; everything else fails the request, so that it comes again
"""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent

from shared import pushers
from shared.accept import accept
from shared.envelope import from_json
from shared.errors import Malformed
from shared.events import Uploaded
from shared.logs import Log
from shared.runtime import runtime

log = Log("accept")


@functions_framework.cloud_event
def on_upload(event: CloudEvent) -> None:
    pushers.check_request(runtime().settings, log)
    try:
        push = from_json(event.data)
        uploaded = Uploaded.from_message(push.data, push.attributes)
    except Malformed as error:
        log.error("malformed", message=str(error))
        return
    accept(runtime(), uploaded, log)
