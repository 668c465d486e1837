"""Who is calling: verifies Firebase ID tokens against the issuer's key set. Knows no requests and no predictions.

The rules are Firebase's ("Verify ID tokens using a third-party JWT library"): RS256, a key of the set, issuer, audience
and times. The local profile issues its own tokens, and they go through the very same checks.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, url2pathname, urlopen

from shared.errors import Denied, Misconfigured, Retryable
from shared.imports import quick_imports
from shared.settings import Settings

Fetch = Callable[[], tuple[Mapping[str, Any], float]]  # → the key set and for how many seconds it is fresh

_REFUSED = "A valid ID token is required: send it as `Authorization: Bearer …`."
_UNKNOWN = "Sign-in cannot be checked right now; please try again."
_REQUIRED = ["exp", "iat", "aud", "iss", "sub", "auth_time"]
_LEEWAY = 10.0  # s of difference between clocks
_LIFETIME = 3600.0  # s that an ID token lives: Firebase issues none that lives longer
_MAX_TOKEN = 8 << 10  # characters
_MAX_UID = 128  # characters
_MAX_SET = 1 << 20  # bytes
_FETCH_SECONDS = 5.0
_FRESH = (60.0, 3600.0, 86_400.0)  # s: least, without max-age, most
_STALE = 3600.0  # s that an old set is still used while its source is down
_UNKNOWN_KEY_PAUSE = 60.0  # s between refreshes that only an unknown key id asks for
_RETRY_PAUSE = (1.0, 5.0)  # s between attempts to replace a missing, a stale set
_MIN_KEY_BITS = 2048


class Identity:
    """Safe for threads. `fetch` and `clock` (seconds, monotonic) exist so that tests can take their place."""

    def __init__(
        self, settings: Settings, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience
        self._keys = KeySet(fetch or _source(settings), clock)

    def verify(self, token: str) -> str:
        """The user id that `token` proves. Raises `Denied`, or `Retryable` while no keys can be had."""
        jwt = _library()
        if not 0 < len(token) <= _MAX_TOKEN or not token.isascii():
            raise Denied(_REFUSED)
        try:
            header = jwt.get_unverified_header(token)
            plain = header.get("alg") == "RS256" and "crit" not in header  # nothing critical is understood here
            key = self._keys.find(str(header.get("kid", ""))) if plain else None
            if key is None:
                raise Denied(_REFUSED)
            return _subject(self._claims(token, key))
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Denied(_REFUSED) from None

    def _claims(self, token: str, key: Any) -> Mapping[str, Any]:
        claims: Mapping[str, Any] = _library().decode(
            token,
            key,
            algorithms=["RS256"],
            audience=self._audience,
            issuer=self._issuer,
            leeway=_LEEWAY,
            options={"require": _REQUIRED, "strict_aud": True},
        )
        return claims


@lru_cache(maxsize=1)
def _library() -> ModuleType:
    with quick_imports():
        import jwt

    return jwt


def _subject(claims: Mapping[str, Any]) -> str:
    """The library has checked signature, issuer, audience, `exp` and `iat`; the rest is Firebase's own."""
    uid, signed_in, lives = claims["sub"], claims["auth_time"], claims["exp"] - claims["iat"]
    if not isinstance(uid, str) or not 0 < len(uid) <= _MAX_UID:
        raise ValueError("sub")
    uid.encode()  # a lone surrogate names nobody: ValueError
    if isinstance(signed_in, bool) or not isinstance(signed_in, int | float):
        raise ValueError("auth_time")
    if not (signed_in <= time.time() + _LEEWAY and lives <= _LIFETIME + _LEEWAY):  # so that NaN fails, too
        raise ValueError("times")
    return uid


class KeySet:
    """The issuer's public keys by id, fetched when asked for, at most so often, and kept for bad times."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._fresh_until = float("-inf")
        self._tried = float("-inf")

    def find(self, kid: str) -> Any | None:
        """Raises `Retryable` if there is no set that may still be used."""
        if kid not in self._keys or self._clock() >= self._fresh_until:
            with self._lock:
                self._refresh(kid)
        if self._clock() >= self._fresh_until + _STALE:
            raise Retryable(_UNKNOWN)
        return self._keys.get(kid)

    def _refresh(self, kid: str) -> None:
        now = self._clock()
        fresh = now < self._fresh_until
        if fresh and kid in self._keys:
            return  # another thread has just fetched it
        pause = _UNKNOWN_KEY_PAUSE if fresh else _RETRY_PAUSE[bool(self._keys)]
        if now - self._tried < pause:
            return
        self._tried = now
        try:
            document, seconds = self._fetch()
            keys = dict(_public_keys(document))
        except (OSError, ValueError, TypeError, RecursionError):
            return  # what there is serves on, as long as it may
        if keys:
            self._keys, self._fresh_until = keys, now + seconds


def _public_keys(document: Mapping[str, Any]) -> list[tuple[str, Any]]:
    jwt, found = _library(), []
    for entry in document["keys"] if isinstance(document.get("keys"), list) else []:
        if entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") != "RS256":
            continue
        try:
            key = jwt.PyJWK.from_dict(entry, "RS256")
        except jwt.PyJWTError:
            continue
        if key.key.key_size >= _MIN_KEY_BITS and entry.get("kid"):
            found.append((str(entry["kid"]), key))
    return found


def key_file(settings: Settings) -> Path:
    """Where the local profile publishes the key set of its development tokens."""
    return settings.data / "run" / "jwks.json"


def _source(settings: Settings) -> Fetch:
    """Raises `Misconfigured` unless the source of keys is one that this profile may trust."""
    url = settings.jwks_url or key_file(settings).resolve().as_uri()
    scheme = urlsplit(url).scheme
    if scheme not in (("https",) if settings.profile == "gcp" else ("https", "http", "file")):
        raise Misconfigured("MASKLINE_JWKS_URL must begin with https://")
    if scheme == "file":
        file = Path(url2pathname(urlsplit(url).path))
        return lambda: (json.loads(file.read_bytes()), _FRESH[0])
    return lambda: _download(url)


def _download(url: str) -> tuple[Mapping[str, Any], float]:
    with urlopen(Request(url), timeout=_FETCH_SECONDS) as answer:  # noqa: S310 - the scheme is checked above
        return json.loads(answer.read(_MAX_SET)), freshness(answer.headers.get("cache-control", ""))


def freshness(cache_control: str) -> float:
    """Seconds that an answer with this `Cache-Control` may be used, within our own bounds."""
    least, otherwise, most = _FRESH
    for part in cache_control.split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "max-age" and value.isascii() and value.isdigit():
            return min(most, max(least, float(value[:9])))
    return otherwise
