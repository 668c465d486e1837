"""Google's JSON APIs that no client library is installed for: one authorised GET."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared.adapters.google.errors import TIMEOUT, retried

Credentials = Callable[[], Any]


def get(
    service: str, credentials: Credentials, project: str, url: str, query: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """The answer's JSON. Raises errors of `shared.errors`; `service` is its name for people."""
    return retried(service, lambda: _get(credentials(), project, url, query))


def _get(credentials: Any, project: str, url: str, query: Mapping[str, str] | None) -> Mapping[str, Any]:
    from google.api_core.exceptions import from_http_response
    from google.auth.transport.requests import AuthorizedSession

    with AuthorizedSession(credentials) as session:
        # A person's credentials belong to no project, and then these APIs want to be told one.
        answer = session.get(url, params=query, headers={"x-goog-user-project": project}, timeout=TIMEOUT)
    if answer.status_code != 200:
        raise from_http_response(answer)
    found: Mapping[str, Any] = answer.json()
    return found
