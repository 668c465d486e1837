"""settle: nothing is ever stuck. Repairs what a crash, a lost message or a full retry budget left behind.

Trigger          push subscriptions `settle-sweep` (the scheduler's tick), `settle-uploads-dead`, `settle-segment-dead`
Output           messages on topic `segment` again; predictions EXPIRED or FAILED; orphaned objects deleted
Idempotency key  none needed: every step is a compare-and-set on what the documents say
Failure policy   a failed tick is retried, and the next tick does the same work; dead letters come again
"""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent

from shared import pushers
from shared.envelope import from_json
from shared.errors import Malformed
from shared.logs import Log
from shared.runtime import runtime
from shared.settle import settle

log = Log("settle")


@functions_framework.cloud_event
def on_sweep(event: CloudEvent) -> None:
    pushers.check_request(runtime().settings, log)
    try:
        push = from_json(event.data)
    except Malformed as error:
        log.error("malformed", message=str(error))
        return
    settle(runtime(), push, log)
