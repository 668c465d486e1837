"""Every rule of an ID token refuses by itself; keys are fetched seldom and outlive their source for a while."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local import devtoken
from shared.errors import Denied, Misconfigured, Retryable
from shared.identity import Identity, freshness
from shared.settings import Settings
from tests.tokens import Source, claims, key, key_set, token


def verify(text: str) -> str:
    return Source(key_set("a")).identity().verify(text)


def test_a_good_token_names_its_user() -> None:
    assert verify(token()) == "ada"


SOON = 3600


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://securetoken.google.com/other"},
        {"iss": ...},
        {"aud": "other"},
        {"aud": ["demo-project"]},
        {"aud": ...},
        {"exp": int(time.time()) - 11},
        {"exp": ...},
        {"exp": "soon"},
        {"iat": int(time.time()) + SOON},
        {"iat": ...},
        {"auth_time": int(time.time()) + SOON},
        {"auth_time": ...},
        {"auth_time": True},
        {"auth_time": "now"},
        {"sub": ""},
        {"sub": ...},
        {"sub": "x" * 129},
        {"nbf": int(time.time()) + SOON},
    ],
    ids=lambda changes: ",".join(f"{name}={str(value)[:12]}" for name, value in changes.items()),
)
def test_one_wrong_claim_is_enough_to_be_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Denied) as caught:
        verify(token(**changes))
    assert str(caught.value).startswith("A valid ID token is required")


def test_clocks_may_differ_by_a_few_seconds() -> None:
    now = int(time.time())
    assert verify(token(iat=now + 5, auth_time=now + 5)) == "ada"
    assert verify(token(exp=now - 5)) == "ada"


def test_only_a_key_of_the_set_may_sign() -> None:
    for text in (token(signer="b"), token(signer="b", kid="b"), token(kid=None), token(kid="")):
        with pytest.raises(Denied):
            verify(text)


def _unsigned(header: dict[str, Any]) -> str:
    parts = [json.dumps(part).encode() for part in (header, claims())]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


@pytest.mark.parametrize("algorithm", ["HS256", "RS384", "PS256", "none"])
def test_no_other_algorithm_is_taken(algorithm: str) -> None:
    if algorithm == "none":
        text = _unsigned({"alg": "none", "kid": "a"})
    elif algorithm == "HS256":
        text = jwt.encode(claims(), key_set("a")["keys"][0]["n"], algorithm, headers={"kid": "a"})
    else:
        text = jwt.encode(claims(), key("a"), algorithm, headers={"kid": "a"})
    with pytest.raises(Denied):
        verify(text)


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){2}", fullmatch=True))
def test_any_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Denied):
        Source({"keys": []}).identity().verify(text)


def test_a_changed_letter_breaks_the_signature() -> None:
    head, body, signature = token().split(".")
    forged = json.loads(base64.urlsafe_b64decode(body + "==")) | {"sub": "bob"}
    other = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    with pytest.raises(Denied):
        verify(".".join([head, other, signature]))


@pytest.mark.parametrize("changes", [{"kty": "EC"}, {"use": "enc"}, {"alg": "RS512"}])
def test_keys_for_something_else_are_not_used(changes: dict[str, Any]) -> None:
    source = Source({"keys": [*key_set("a", **changes)["keys"], *key_set("b")["keys"]]})
    with pytest.raises(Denied):
        source.identity().verify(token())


def test_the_set_is_fetched_once_until_it_is_old() -> None:
    source = Source(key_set("a"))
    identity = source.identity()
    for source.now in (0, 50, 99):
        identity.verify(token())
    assert source.fetches == 1
    source.now = 101
    identity.verify(token())
    assert source.fetches == 2


def test_unknown_keys_refresh_the_set_at_most_once_a_minute() -> None:
    source = Source(key_set("a"))
    identity = source.identity()
    identity.verify(token())
    source.document = key_set("a", "b")
    source.now = 10
    for _ in range(5):
        with pytest.raises(Denied):
            identity.verify(token(signer="b", kid="b"))
    assert source.fetches == 1
    source.now = 61
    assert identity.verify(token(signer="b", kid="b")) == "ada"
    assert source.fetches == 2


def test_an_old_set_serves_for_an_hour_while_its_source_is_down() -> None:
    source = Source(key_set("a"))
    identity = source.identity()
    identity.verify(token())
    source.document = None
    for source.now in (101, 2000, 3699):
        assert identity.verify(token()) == "ada"
    source.now = 3701
    with pytest.raises(Retryable):
        identity.verify(token())
    source.document = key_set("a")
    source.now = 3800
    assert identity.verify(token()) == "ada"


def test_without_any_keys_the_caller_is_asked_to_come_again() -> None:
    source = Source({})
    with pytest.raises(Retryable):
        source.identity().verify(token())


def test_freshness_follows_max_age_within_bounds() -> None:
    assert freshness("public, max-age=19845, must-revalidate") == 19845
    assert freshness("Max-Age=1") == 60
    assert freshness("max-age=99999999999999") == 86_400
    assert freshness("no-cache") == freshness("max-age=x") == 3600


@pytest.mark.parametrize("url", ["file:///etc/keys.json", "http://keys.example", "ftp://keys.example"])
def test_production_fetches_keys_over_https_only(url: str) -> None:
    with pytest.raises(Misconfigured):
        Identity(Settings.from_env({"MASKLINE_PROFILE": "gcp", "MASKLINE_JWKS_URL": url}))


def test_development_tokens_go_through_the_same_checks(tmp_path: Path) -> None:
    settings = Settings.from_env({}, data=tmp_path)
    identity = Identity(settings)
    assert identity.verify(devtoken.issue(settings, "ada")) == "ada"
    with pytest.raises(Denied):
        identity.verify(devtoken.issue(settings, "ada", seconds=-20))
    with pytest.raises(Denied):
        identity.verify(devtoken.issue(Settings.from_env({}, data=tmp_path / "other"), "ada"))


def test_the_development_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    settings = Settings.from_env({}, data=tmp_path)
    devtoken.prepare(settings)
    first = (tmp_path / "run" / "jwks.json").read_bytes()
    devtoken.prepare(settings)
    assert (tmp_path / "run" / "jwks.json").read_bytes() == first
    assert (tmp_path / "run" / "token.pem").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["jwks.json", "token.pem"]
    assert b'"d"' not in first


def test_production_issues_no_development_tokens(tmp_path: Path) -> None:
    with pytest.raises(Denied):
        devtoken.issue(Settings.from_env({"MASKLINE_PROFILE": "gcp"}, data=tmp_path), "ada")
