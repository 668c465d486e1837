"""Pub/Sub's filter language over message attributes: text in, predicate out. Pure; knows no messages.

    expression := clause ("AND" clause)* | clause ("OR" clause)*      mixing them needs parentheses, as in the cloud
    clause     := ["NOT" | "-"] ( "(" expression ")" | comparison )
    comparison := attributes.KEY = "v" | attributes.KEY != "v" | hasPrefix(attributes.KEY, "v") | attributes:KEY

A message without KEY matches `!=`. KEY is a bare word or a quoted string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from shared.errors import Misconfigured

Predicate = Callable[[Mapping[str, str]], bool]

MAX_BYTES = 256  # Pub/Sub's limit on a filter
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([A-Za-z_][A-Za-z0-9_]*)|(!=|[=().,:-]))')


def compile_filter(text: str) -> Predicate:
    """Raises `Misconfigured` for anything that Pub/Sub would refuse. An empty filter lets everything through."""
    if not text.strip():
        return lambda attributes: True
    if len(text.encode()) > MAX_BYTES:
        raise Misconfigured(f"a filter is longer than {MAX_BYTES} bytes")
    parser = _Parser(_tokens(text), text)
    predicate = parser.expression()
    parser.expect("")
    return predicate


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise Misconfigured(f"the filter {text!r} has an unexpected character at {at}")
        tokens.append(match[0].strip())
        at = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[str], text: str) -> None:
        self.tokens = tokens
        self.text = text

    @property
    def next(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self) -> str:
        token = self.next
        self.tokens = self.tokens[1:]
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise Misconfigured(f"the filter {self.text!r} lacks {token or 'an end'!r}")

    def expression(self) -> Predicate:
        clauses = [self.clause()]
        joint = self.next
        while self.next and self.next == joint and joint in ("AND", "OR"):
            self.take()
            clauses.append(self.clause())
        if self.next in ("AND", "OR"):
            raise Misconfigured(f"the filter {self.text!r} mixes AND and OR without parentheses")
        if len(clauses) == 1:
            return clauses[0]
        every = all if joint == "AND" else any
        return lambda attributes: every(clause(attributes) for clause in clauses)

    def clause(self) -> Predicate:
        if self.next in ("NOT", "-"):
            self.take()
            inner = self.clause()
            return lambda attributes: not inner(attributes)
        if self.next == "(":
            self.take()
            inner = self.expression()
            self.expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Predicate:
        if self.next == "hasPrefix":
            return self.prefix()
        self.expect("attributes")
        operator = self.take()
        key = self.key()
        if operator == ":":
            return lambda attributes: key in attributes
        if operator != ".":
            raise Misconfigured(f"the filter {self.text!r} lacks '.' or ':' after attributes")
        relation = self.take()
        if relation not in ("=", "!="):
            raise Misconfigured(f"the filter {self.text!r} compares {key!r} with neither = nor !=")
        value = self.string()
        if relation == "=":
            return lambda attributes: attributes.get(key) == value
        return lambda attributes: attributes.get(key) != value

    def prefix(self) -> Predicate:
        for token in ("hasPrefix", "(", "attributes", "."):
            self.expect(token)
        key = self.key()
        self.expect(",")
        value = self.string()
        self.expect(")")
        return lambda attributes: key in attributes and attributes[key].startswith(value)

    def key(self) -> str:
        if self.next.startswith('"'):
            return self.string()
        if not self.next.isidentifier():
            raise Misconfigured(f"the filter {self.text!r} lacks an attribute's name")
        return self.take()

    def string(self) -> str:
        token = self.take()
        if not token.startswith('"'):
            raise Misconfigured(f"the filter {self.text!r} lacks a quoted string")
        try:
            return str(json.loads(token))
        except ValueError:
            raise Misconfigured(f"the filter {self.text!r} has an unreadable string") from None
