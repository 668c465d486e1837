"""S1: tokens that somebody might try. Each is refused with the same words, and nothing is fetched for it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from local import devtoken
from shared.errors import Denied
from shared.identity import Identity
from tests.integration.apis import backend, caller
from tests.tokens import Source, claims, key, key_set, token

NOW = int(time.time())
RS256 = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)


def encoded(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def made(header: Any, payload: Any, signature: bytes = b"") -> str:
    return ".".join([encoded(header), encoded(payload), encoded(signature)])


def signed(payload: Any = None, **header: Any) -> str:
    """By the right key, whatever it says."""
    parts = f"{encoded({'alg': 'RS256', 'kid': 'a', 'typ': 'JWT'} | header)}.{encoded(payload or claims())}"
    return f"{parts}.{encoded(RS256.sign(parts.encode(), key('a')))}"


def public_pem() -> bytes:
    pem: bytes = (
        key("a").public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return pem


def confused() -> str:
    """HS256 with the public key as its secret; made by hand, because the library refuses to."""
    parts = f"{encoded({'alg': 'HS256', 'kid': 'a'})}.{encoded(claims())}"
    return f"{parts}.{encoded(hmac.new(public_pem(), parts.encode(), hashlib.sha256).digest())}"


def cut(text: str, part: int, change: Callable[[str], str]) -> str:
    parts = text.split(".")
    parts[part] = change(parts[part])
    return ".".join(parts)


def attacker_jwk() -> dict[str, Any]:
    document: dict[str, Any] = key_set("b")["keys"][0]
    return document


def by_attacker(**header: Any) -> str:
    return jwt.encode(claims(), key("b"), "RS256", headers={"kid": "a"} | header)


BAD: dict[str, Callable[[], str]] = {
    # form
    "empty": lambda: "",
    "no token": lambda: "nonsense",
    "two parts": lambda: token().rpartition(".")[0],
    "four parts": lambda: token() + ".x",
    "five parts, as if encrypted": lambda: token() + ".x.y",
    "a megabyte": lambda: token() + "A" * (1 << 20),
    "a NUL": lambda: token() + "\0",
    "not ASCII": lambda: token() + "é",
    "padded": lambda: cut(token(), 1, lambda part: part + "=="),
    "spaces within": lambda: token().replace(".", " .", 1),
    "a payload that is a list": lambda: signed([1]),
    "a payload that is no JSON": lambda: made({"alg": "RS256", "kid": "a"}, b"{", b"x"),
    "a header that is a list": lambda: made([1], claims(), b"x"),
    "a header that is deep": lambda: made(b"[" * 3000, claims(), b"x"),
    # algorithm and key
    "none": lambda: made({"alg": "none", "kid": "a"}, claims()),
    "None": lambda: made({"alg": "None", "kid": "a"}, claims()),
    "nOnE, signature kept": lambda: cut(token(), 0, lambda _: encoded({"alg": "nOnE", "kid": "a"})),
    "no algorithm": lambda: made({"kid": "a"}, claims()),
    "algorithms as a list": lambda: made({"alg": ["RS256"], "kid": "a"}, claims()),
    "HS256 with the public key": confused,
    "RS512 by the right key": lambda: jwt.encode(claims(), key("a"), "RS512", headers={"kid": "a"}),
    "PS256 by the right key": lambda: jwt.encode(claims(), key("a"), "PS256", headers={"kid": "a"}),
    "ES256 of zeros": lambda: made({"alg": "ES256", "kid": "a"}, claims(), bytes(64)),
    "another key's signature": by_attacker,
    "no key id": lambda: token(kid=None),
    "an unknown key id": lambda: token(kid="z"),
    "a key id that is a path": lambda: token(kid="../../dev/null"),
    "a key id that is SQL": lambda: token(kid="a' OR '1'='1"),
    "a key id that is a number": lambda: signed(kid=7),
    "a key id that is a list": lambda: signed(kid=["a"]),
    "the attacker's jku": lambda: by_attacker(jku="http://127.0.0.1:9/keys"),
    "the attacker's x5u": lambda: by_attacker(x5u="http://127.0.0.1:9/cert"),
    "the attacker's jwk": lambda: by_attacker(jwk=attacker_jwk()),
    "an unknown crit": lambda: signed(crit=["exp2"], exp2=1),
    "detached": lambda: signed(b64=False, crit=["b64"]),
    "a signature of nothing": lambda: cut(token(), 2, lambda _: ""),
    "a signature of zeros": lambda: cut(token(), 2, lambda _: encoded(bytes(256))),
    "a flipped bit": lambda: cut(token(), 2, lambda part: ("A" if part[0] != "A" else "B") + part[1:]),
    "another payload under the signature": lambda: cut(token(), 1, lambda _: encoded(claims(sub="bob"))),
    # claims
    "another project": lambda: token(aud="other"),
    "an audience that is a list": lambda: token(aud=["demo-project"]),
    "an audience with a space": lambda: token(aud="demo-project "),
    "another issuer": lambda: token(iss="https://securetoken.google.com/other"),
    "an issuer with a slash": lambda: token(iss="https://securetoken.google.com/demo-project/"),
    "an issuer over http": lambda: token(iss="http://securetoken.google.com/demo-project"),
    "a Google OIDC token": lambda: token(iss="https://accounts.google.com", aud="demo-project.apps"),
    "a session cookie": lambda: token(iss="https://session.firebase.google.com/demo-project"),
    "an App Check token": lambda: token(iss="https://firebaseappcheck.googleapis.com/1", aud=["projects/1"]),
    "a custom token": lambda: token(iss="sa@demo-project.iam", aud="https://identitytoolkit.googleapis.com", uid="x"),
    "over for an hour": lambda: token(exp=NOW - 3600),
    "over for half a minute": lambda: token(exp=NOW - 30),
    "no end": lambda: token(exp=...),
    "an end in words": lambda: token(exp="soon"),
    "an end beyond all time": lambda: token(exp=1e308),
    "an end that is no number": lambda: token(exp=math.nan),
    "an end at infinity": lambda: token(exp=math.inf),
    "a life of ten years": lambda: token(exp=NOW + 10 * 365 * 86_400),
    "made in the future": lambda: token(iat=NOW + 1000),
    "made at no time": lambda: token(iat=math.nan),
    "no beginning": lambda: token(iat=...),
    "signed in in the future": lambda: token(auth_time=NOW + 1000),
    "signed in at no time": lambda: token(auth_time=math.nan),
    "signed in as true": lambda: token(auth_time=True),
    "never signed in": lambda: token(auth_time=...),
    "not valid yet": lambda: token(nbf=NOW + 1000),
    "nobody": lambda: token(sub=...),
    "an empty name": lambda: token(sub=""),
    "a name that is a number": lambda: signed(claims(sub=7)),
    "a name that is null": lambda: signed(claims(sub=None)),
    "a name that is too long": lambda: token(sub="x" * 129),
    "half a surrogate": lambda: signed(claims(sub="\ud800")),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_refused_with_the_same_words(name: str) -> None:
    source = Source(key_set("a"))
    with pytest.raises(Denied) as caught:
        source.identity().verify(BAD[name]())
    assert str(caught.value) == "A valid ID token is required: send it as `Authorization: Bearer …`."
    assert source.fetches <= 1


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 60


@pytest.mark.parametrize("sub", ["../other", "a/b", "x" * 128, "Ünï", "'; DROP TABLE", "__x__", "."])
def test_an_odd_name_is_a_name_and_no_path(sub: str, tmp_path: Path) -> None:
    stack = backend(tmp_path)

    async def steps() -> None:
        async with caller(stack, sub) as odd:
            answer = await odd.post("/v1/predictions", json={"contentType": "image/jpeg"})
            assert answer.status_code == 201
            stored = stack.prediction(answer.json()["id"])
            assert stored.owner_uid == sub
            assert stored.object.count("/") == 2

    asyncio.run(steps())
    stack.documents.close()
    stack.objects.close()


def test_unknown_claims_and_a_lower_case_scheme_are_fine(tmp_path: Path) -> None:
    assert Source(key_set("a")).identity().verify(token(firebase={"sign_in_provider": "x"}, email="a@b")) == "ada"
    soon = int(time.time()) + 3
    assert Source(key_set("a")).identity().verify(token(iat=soon, auth_time=soon)) == "ada"
    assert Source(key_set("a")).identity().verify(signed(claims())) == "ada"
    stack = backend(tmp_path)
    good = devtoken.issue(stack.settings, "ada")

    async def steps() -> None:
        async with caller(stack) as client:
            assert (await client.get("/v1/models", headers={"authorization": f"bearer {good}"})).status_code == 200
            bodies = set()
            for headers in _bad_headers(good):
                answer = await client.get(f"/v1/models?token={good}&access_token={good}", headers=headers)
                assert answer.status_code == 401, headers
                assert answer.headers["www-authenticate"] == "Bearer"
                bodies.add(answer.content)
            assert len(bodies) <= 2  # nothing there, or nothing valid

    asyncio.run(steps())
    assert not any(good in line for line in stack.logged)
    stack.documents.close()
    stack.objects.close()


def _bad_headers(good: str) -> list[list[tuple[str, str]]]:
    return [
        [],
        [("authorization", "")],
        [("authorization", good)],
        [("authorization", f"Basic {good}")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", f"Bearer {good} {good}")],
        [("authorization", f"Bearer {good}, Bearer {good}")],
        [("authorization", f"Bearer {good}"), ("authorization", f"Bearer {good}")],
        [("authorization", "Bearer x"), ("authorization", f"Bearer {good}")],
        [("cookie", f"token={good}; __session={good}")],
        [("x-forwarded-authorization", f"Bearer {good}")],
        [("proxy-authorization", f"Bearer {good}")],
    ]


def test_a_token_of_an_emulator_is_worth_nothing_to_the_real_thing() -> None:
    """The Auth emulator signs with nothing at all."""
    identity: Identity = Source(key_set("a")).identity()
    with pytest.raises(Denied):
        identity.verify(made({"alg": "none", "typ": "JWT"}, claims()))
