"""prewarm: business hours begin or end; so many instances of the GPU service are kept awake.

Trigger          push subscription `prewarm` on topic `prewarm` (the scheduler's ticks, attribute `minInstances`)
Output           the minimum number of instances of service `segment`
Idempotency key  none needed: setting a number twice is setting it once
Failure policy   malformed ticks are logged and acked; everything else fails the request, so that it comes again
"""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent

from shared import pushers
from shared.envelope import from_json
from shared.errors import Malformed
from shared.logs import Log
from shared.prewarm import prewarm
from shared.runtime import runtime

log = Log("prewarm")


@functions_framework.cloud_event
def on_prewarm(event: CloudEvent) -> None:
    pushers.check_request(runtime().settings, log)
    try:
        prewarm(runtime(), from_json(event.data), log)
    except Malformed as error:
        log.error("malformed", message=str(error))
