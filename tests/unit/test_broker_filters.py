"""Pub/Sub's filter language: what it says, what it refuses, and that reading never depends on writing style."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.broker.filters import MAX_BYTES, compile_filter
from shared import pipeline
from shared.errors import Misconfigured

MESSAGE = {"arm": "stable", "lane": "bulk", "odd key": 'a "quoted" one', "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("   ", True),
        ('attributes.arm = "stable"', True),
        ('attributes.arm="stable"', True),
        ('attributes.arm = "canary"', False),
        ('attributes.arm != "canary"', True),
        ('attributes.none != "x"', True),
        ('attributes.none = ""', False),
        ('attributes.empty = ""', True),
        ("attributes:arm", True),
        ("attributes:none", False),
        ("NOT attributes:none", True),
        ("-attributes:none", True),
        ("NOT NOT attributes:arm", True),
        ('hasPrefix(attributes.arm, "sta")', True),
        ('hasPrefix(attributes.arm, "")', True),
        ('hasPrefix(attributes.none, "")', False),
        ('attributes.arm = "stable" AND attributes.lane = "bulk"', True),
        ('attributes.arm = "stable" AND attributes.lane = "interactive"', False),
        ('attributes.arm = "x" OR attributes.lane = "bulk" OR attributes:none', True),
        ('attributes.arm = "x" OR (attributes.lane = "bulk" AND attributes:arm)', True),
        ('NOT (attributes.arm = "x" OR attributes:none)', True),
        ('attributes:"odd key"', True),
        ('attributes."odd key" = "a \\"quoted\\" one"', True),
    ],
)
def test_a_filter_means_what_it_means_in_the_cloud(text: str, matches: bool) -> None:
    assert compile_filter(text)(MESSAGE) is matches


@pytest.mark.parametrize(
    "text",
    [
        "arm",
        "attributes",
        "attributes.arm",
        "attributes.arm =",
        "attributes.arm = stable",
        "attributes.arm = 'stable'",
        'attributes.arm == "stable"',
        'attributes.arm < "stable"',
        'attributes. = "stable"',
        'attributes/arm = "x"',
        'attributes.arm = "stable',
        'attributes.arm = "\\x"',
        'attributes.arm = "stable" attributes:arm',
        'attributes.arm = "a" AND',
        'attributes.arm = "a" AND attributes:b OR attributes:c',
        "(attributes:arm",
        "attributes:arm)",
        "NOT",
        'hasPrefix(attributes.arm "x")',
        'hasPrefix(attributes:arm, "x")',
        "hasPrefix(attributes.arm)",
        "attributes:arm " + " " * MAX_BYTES,
    ],
)
def test_what_the_cloud_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        compile_filter(text)


def test_every_filter_of_the_pipeline_can_be_read() -> None:
    for subscription in pipeline.load().subscriptions.values():
        compile_filter(subscription.filter)


KEYS = st.sampled_from(["a", "b", "arm", "AND", "NOT", "hasPrefix", "attributes", "with space"])
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=5)
Expected = tuple[str, bool]
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=4)


def key(name: str) -> str:
    return json.dumps(name)


def comparison(name: str, value: str, kind: int, attributes: Mapping[str, str]) -> Expected:
    quoted = json.dumps(value, ensure_ascii=False)
    return (
        (f"attributes.{key(name)} = {quoted}", attributes.get(name) == value),
        (f"attributes.{key(name)} != {quoted}", attributes.get(name) != value),
        (f"hasPrefix(attributes.{key(name)},{quoted})", name in attributes and attributes[name].startswith(value)),
        (f"attributes:{key(name)}", name in attributes),
    )[kind]


def expressions(attributes: Mapping[str, str]) -> st.SearchStrategy[Expected]:
    """Filters with what they must answer for `attributes`."""
    leaves = st.builds(comparison, KEYS, VALUES, st.integers(0, 3), st.just(attributes))
    return st.recursive(leaves, lambda inner: st.one_of(inner.map(negated), st.tuples(inner, inner).map(joined)))


def negated(one: Expected) -> Expected:
    return f"NOT ({one[0]})", not one[1]


def joined(two: tuple[Expected, Expected]) -> Expected:
    (left, a), (right, b) = two
    return f"({left}) AND ({right})", a and b


@given(st.data(), ATTRIBUTES)
def test_any_expression_answers_as_it_reads(data: st.DataObject, attributes: dict[str, str]) -> None:
    text, answer = data.draw(expressions(attributes))
    if len(text.encode()) <= MAX_BYTES:
        assert compile_filter(text)(attributes) is answer


@given(st.text(max_size=40))
def test_noise_is_refused_or_read_but_never_breaks(text: str) -> None:
    try:
        compile_filter(text)({})
    except Misconfigured:
        pass
