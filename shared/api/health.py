"""Is the API there? Asks nobody else, so that a slow store does not get it restarted."""

from __future__ import annotations

from starlette.responses import Response

from shared.api.call import Call
from shared.api.service import Service, answer


def alive(service: Service, call: Call) -> Response:
    return answer({"status": "ok"})
