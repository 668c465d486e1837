"""ID tokens as Firebase makes them, keys to sign them with, and a key server that a test controls."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.identity import Identity
from shared.settings import Settings

SETTINGS = Settings.from_env({"MASKLINE_PROJECT": "demo-project"})


@cache
def key(name: str) -> Any:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_set(*names: str, **changes: Any) -> dict[str, Any]:
    return {
        "keys": [
            jwt.algorithms.RSAAlgorithm.to_jwk(key(name).public_key(), as_dict=True)
            | {"kid": name, "use": "sig", "alg": "RS256"}
            | changes
            for name in names
        ]
    }


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    fine = {
        "iss": "https://securetoken.google.com/demo-project",
        "aud": "demo-project",
        "sub": "ada",
        "iat": now,
        "auth_time": now,
        "exp": now + 3600,
    }
    return {name: value for name, value in (fine | changes).items() if value is not ...}


def token(signer: str = "a", kid: str | None = "a", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key(signer), "RS256", headers={"kid": kid} if kid else None)


class Source:
    """A key server whose answers, failures and clock the test controls."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document: Mapping[str, Any] | None = document
        self.now = 0.0
        self.fetches = 0

    def __call__(self) -> tuple[Mapping[str, Any], float]:
        self.fetches += 1
        if self.document is None:
            raise OSError("down")
        return self.document, 100.0

    def identity(self) -> Identity:
        return Identity(SETTINGS, self, lambda: self.now)
