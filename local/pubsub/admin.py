"""Make topics and subscriptions on the Pub/Sub emulator, over its REST API."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from local.pubsub.wiring import Resource
from shared.errors import Misconfigured, Retryable

_TIMEOUT = 10.0  # s


def create(url: str, project: str, resources: Iterable[Resource]) -> bool:
    """Whether anything was missing: the emulator keeps nothing over a restart. Raises `Retryable`, `Misconfigured`."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT)
    try:
        made = [_create(connection, project, path, body) for path, body in resources]
        return any(made)
    except (OSError, http.client.HTTPException):
        raise Retryable("the Pub/Sub emulator cannot be reached now") from None
    finally:
        connection.close()


def _create(connection: http.client.HTTPConnection, project: str, path: str, body: dict[str, object]) -> bool:
    headers = {"content-type": "application/json"}
    connection.request("PUT", f"/v1/projects/{project}/{path}", json.dumps(body), headers)
    response = connection.getresponse()
    answer = response.read().decode("utf-8", "replace")
    if response.status not in (200, 409):
        raise Misconfigured(f"the Pub/Sub emulator refuses {path}: {' '.join(answer.split())[:300]}")
    return response.status == 200
