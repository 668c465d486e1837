"""Who pushes: on Google Cloud only the service account that Pub/Sub calls the stages as (ADR 0009).

The stages are private: Cloud Run has checked signature, audience and permission before a request gets here, and hands
the token on with its signature taken out. What is checked again is that the token is for this service and of the one
account, so that a further grant of `run.invoker` lets nobody write messages. A token that still has its signature was
checked by nobody: it is verified in full.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.errors import Denied, Misconfigured
from shared.logs import Log
from shared.settings import Settings

if TYPE_CHECKING:
    from starlette.datastructures import Headers

_TAKEN_OUT = "SIGNATURE_REMOVED_BY_GOOGLE"
_ISSUERS = ("https://accounts.google.com", "accounts.google.com")
_LEEWAY = 10.0  # s of difference between clocks
_MAX_TOKEN = 8 << 10  # characters
_TAG = re.compile(r"^(https://)?[a-z0-9-]+---")  # a revision's own address is its service's, with the tag in front
_REFUSED = "This address takes pushes of its own subscriptions only."


def check(settings: Settings, authorizations: Sequence[str], host: str) -> None:
    """`authorizations`: all values of that header; `host`: what the request was sent to. Blocks if a token has to be
    verified in full. Raises `Denied`, `Retryable` while Google's keys cannot be had, `Misconfigured`."""
    if settings.profile != "gcp":
        return  # one machine: the endpoints listen on loopback only
    if not settings.push_identity:
        raise Misconfigured("MASKLINE_PUSH_IDENTITY is not set: who may push is not known")
    scheme, _, token = authorizations[0].partition(" ") if len(authorizations) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN:
        raise Denied(_REFUSED)
    claims = _claims(token)
    if not _allowed(claims, f"https://{host}", settings.push_identity, time.time()):
        raise Denied(_REFUSED)
    if not token.endswith("." + _TAKEN_OUT) and _verified(token) != claims:
        raise Denied(_REFUSED)


async def check_headers(settings: Settings, headers: Headers) -> None:
    """`check` on an event loop; where a token might have to be verified with keys from afar, in a thread. No page in a
    browser pushes: one machine knows no tokens, and must not take events from whatever page is open on it."""
    if "origin" in headers:
        raise Denied(_REFUSED)
    if settings.profile == "gcp":
        import asyncio

        await asyncio.to_thread(check, settings, headers.getlist("authorization"), headers.get("host", ""))


def check_request(settings: Settings, log: Log) -> None:
    """`check` for the request that a function is called with; it is answered with 403 if that fails."""
    import flask

    headers = flask.request.headers
    try:
        check(settings, headers.getlist("authorization"), headers.get("host", ""))
    except Denied as error:
        log.error("denied", message=str(error))
        flask.abort(403)


def _allowed(claims: Mapping[str, Any], audience: str, identity: str, now: float) -> bool:
    """Every claim has the one right value; times may differ by the leeway."""
    begins, ends, for_whom = _time(claims.get("iat")), _time(claims.get("exp")), claims.get("aud")
    return (
        claims.get("iss") in _ISSUERS
        and isinstance(for_whom, str)
        and _TAG.sub(r"\1", for_whom) == _TAG.sub(r"\1", audience)
        and claims.get("email") == identity
        and claims.get("email_verified") is True
        and begins - _LEEWAY <= now <= ends + _LEEWAY
    )


def _time(value: object) -> float:
    """Seconds; what is none compares with nothing."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _claims(token: str) -> Mapping[str, Any]:
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.b64decode(payload + "=" * (-len(payload) % 4), b"-_", validate=True))
    except (ValueError, RecursionError):
        raise Denied(_REFUSED) from None
    if not isinstance(claims, dict):
        raise Denied(_REFUSED)
    return claims


def _verified(token: str) -> Mapping[str, Any]:
    from shared.adapters.google.tokens import verified

    return verified(token)
