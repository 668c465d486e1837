"""Google's own ID tokens, verified in full: signature, issuer, times. Audience and account are for the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.errors import Denied, Retryable

_LEEWAY = 10  # s


def verified(token: str) -> Mapping[str, Any]:
    """The token's claims. Blocks: Google's keys are fetched each time. Raises `Denied`; `Retryable` without keys."""
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    try:
        claims: Mapping[str, Any] = id_token.verify_oauth2_token(token, Request(), clock_skew_in_seconds=_LEEWAY)
    except TransportError:
        raise Retryable("Google's keys cannot be fetched now.") from None
    except (ValueError, TypeError, GoogleAuthError):
        raise Denied("The token is not valid.") from None
    return claims
