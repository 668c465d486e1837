"""Development ID tokens of the local profile, signed with a key that is made once per data folder.

Whoever can read the data folder can be anybody, which is what a developer wants. The public half goes to
`run/jwks.json`, and `shared/identity.py` checks these tokens as it checks Firebase's.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from shared.adapters.local.blobs import storage_errors
from shared.errors import Denied, Malformed, Misconfigured
from shared.identity import key_file
from shared.settings import Settings

_KEY_BITS = 2048
_MAX_USER = 128  # characters, as a Firebase uid
DEMO_USER = "demo"
SECONDS = 3600  # s that a token is valid, as Firebase's


def issue(settings: Settings, user: str, seconds: float = SECONDS) -> str:
    """An ID token for `user`, valid for `seconds` from now. Makes the key set if there is none.

    Raises `Malformed` for a name that no user can have.
    """
    import jwt

    if settings.profile == "gcp":
        raise Denied("development tokens are not for production")
    _check(user)
    key = prepare(settings)
    now = int(time.time())
    claims = {
        "iss": settings.token_issuer,
        "aud": settings.token_audience,
        "sub": user,
        "user_id": user,
        "iat": now,
        "auth_time": now,
        "exp": now + int(seconds),
    }
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": _key_id(key)})


def _check(user: str) -> None:
    try:
        user.encode()
    except UnicodeEncodeError:
        raise Malformed("a user's name is Unicode text") from None
    if not 0 < len(user) <= _MAX_USER:
        raise Malformed(f"a user's name has 1 to {_MAX_USER} characters")


def prepare(settings: Settings) -> Any:
    """The private key, made if there is none; its public half is published."""
    with storage_errors():
        file = key_file(settings)
        file.parent.mkdir(parents=True, exist_ok=True)
        key = _read_or_create(file.with_name("token.pem"))
        _publish(key, file)
    return key


def _read_or_create(path: Path) -> Any:
    """Of many processes that find no key, one makes it; the link appears whole or not at all."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        draft = _write_draft(path, pem, 0o600)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    try:
        return serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        raise Misconfigured("the key for development tokens is damaged: delete it to get a new one") from None


def _publish(key: Any, file: Path) -> None:
    import jwt

    entry = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    text = json.dumps({"keys": [entry | {"kid": _key_id(key), "use": "sig", "alg": "RS256"}]}).encode()
    if not file.exists() or file.read_bytes() != text:
        _write_draft(file, text, 0o644).replace(file)


def _write_draft(path: Path, data: bytes, mode: int) -> Path:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    return draft


def _key_id(key: Any) -> str:
    return hashlib.sha256(str(key.public_key().public_numbers().n).encode()).hexdigest()[:16]
