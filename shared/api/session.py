"""A token for the console, which has no sign-in on a laptop. The route does not exist in production."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.responses import Response

from shared.api.call import Call
from shared.api.service import Service, answer
from shared.api.view import timestamp


def start(service: Service, call: Call) -> Response:
    from shared.adapters.local.tokens import DEMO_USER, SECONDS, issue

    expires = datetime.now(UTC) + timedelta(seconds=SECONDS)
    token = issue(service.runtime.settings, DEMO_USER)
    return answer({"token": token, "user": DEMO_USER, "expireTime": timestamp(expires)})
