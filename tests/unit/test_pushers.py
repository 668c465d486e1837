"""Only Pub/Sub's own account gets a message in, and only with a token for the very service that it calls."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from shared import pushers
from shared.errors import Denied, Misconfigured
from shared.settings import Settings

HOST = "accept-abc-uc.a.run.app"
PUSH = "maskline-push@demo.iam.gserviceaccount.com"
GCP = Settings.from_env({"MASKLINE_PROFILE": "gcp", "MASKLINE_PROJECT": "demo", "MASKLINE_PUSH_IDENTITY": PUSH})


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    fine = {
        "iss": "https://accounts.google.com",
        "aud": f"https://{HOST}",
        "sub": "1234567890",
        "email": PUSH,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
    }
    return {name: value for name, value in (fine | changes).items() if value is not ...}


def handed_on(content: Any) -> str:
    """As Cloud Run hands a token on that it has verified."""
    parts = [{"alg": "RS256", "kid": "k", "typ": "JWT"}, content]
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"Bearer {head}.{body}.SIGNATURE_REMOVED_BY_GOOGLE"


def check(*authorizations: str, host: str = HOST, settings: Settings = GCP) -> None:
    pushers.check(settings, authorizations, host)


def test_pubsubs_own_push_is_taken() -> None:
    check(handed_on(claims()))
    check(handed_on(claims()).replace("Bearer", "bearer"))
    check(handed_on(claims(iat=int(time.time()) + 5)))


def test_a_revision_is_called_by_its_tag_or_as_its_service() -> None:
    check(handed_on(claims()), host=f"candidate---{HOST}")
    check(handed_on(claims(aud=f"https://candidate---{HOST}")), host=f"candidate---{HOST}")


WRONG: dict[str, dict[str, Any]] = {
    "another service's": {"aud": "https://settle-abc-uc.a.run.app"},
    "no audience": {"aud": ...},
    "a list": {"aud": [f"https://{HOST}"]},
    "another account": {"email": "maskline-deploy@demo.iam.gserviceaccount.com"},
    "a person": {"email": "ada@example.com"},
    "upper case": {"email": PUSH.upper()},
    "no e-mail": {"email": ...},
    "not verified": {"email_verified": False},
    "verified in words": {"email_verified": "true"},
    "a user's": {"iss": "https://securetoken.google.com/demo", "aud": "demo"},
    "no issuer": {"iss": ...},
    "over": {"exp": int(time.time()) - 60},
    "no end": {"exp": ...},
    "an end in words": {"exp": "soon"},
    "not yet": {"iat": int(time.time()) + 86_400},  # far beyond the end of this run
    "no beginning": {"iat": ...},
    "beyond all numbers": {"exp": float("nan")},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
def test_one_wrong_claim_is_enough_to_be_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Denied):
        check(handed_on(claims(**changes)))


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("",),
        ("Bearer",),
        ("Basic YTpi",),
        (handed_on(claims()), handed_on(claims())),
        ("Bearer .SIGNATURE_REMOVED_BY_GOOGLE",),
        ("Bearer a.!.SIGNATURE_REMOVED_BY_GOOGLE",),
        (handed_on([1]),),
        (handed_on(claims(x="y" * 9000)),),
        ("Bearer " + "." * 20,),
        ("Bearer " + "a" * 20,),
        ("Bearer W10.W10.W10",),
    ],
)
def test_what_is_no_single_token_is_refused(given: tuple[str, ...]) -> None:
    with pytest.raises(Denied):
        check(*given)


def test_nobody_gets_in_while_it_is_not_known_who_may() -> None:
    with pytest.raises(Misconfigured):
        check(handed_on(claims()), settings=Settings.from_env({"MASKLINE_PROFILE": "gcp"}))


def test_one_machine_listens_to_itself_and_asks_for_nothing() -> None:
    check(settings=Settings.from_env({}))


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Signs as Google does; its certificates are the ones that are found."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    monkeypatch.setattr("google.oauth2.id_token._fetch_certs", lambda request, url: {"k": pem})
    return lambda **changes: "Bearer " + jwt.encode(claims(**changes), key, "RS256", headers={"kid": "k"})


def test_a_token_that_nobody_has_checked_is_verified_in_full(google: Callable[..., str]) -> None:
    check(google())
    head, body, signature = google().split(".")
    for forged in (
        google(email="ada@example.com"),
        google(aud="https://elsewhere"),
        google(exp=int(time.time()) - 60),
        f"{head}.{body}.{signature[:-6]}AAAAAA",
        f"{head}.{body}.",
    ):
        with pytest.raises(Denied):
            check(forged)
