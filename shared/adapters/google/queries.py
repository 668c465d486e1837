"""A query of the `Documents` port as Firestore's StructuredQuery. Knows no client."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from shared.adapters.google import values
from shared.errors import Malformed
from shared.ports import Where

Order = Sequence[tuple[str, Literal["asc", "desc"]]]

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INEQUALITIES = {"<", "<=", ">", ">="}
_OPERATORS = {
    "==": "EQUAL",
    "<": "LESS_THAN",
    "<=": "LESS_THAN_OR_EQUAL",
    ">": "GREATER_THAN",
    ">=": "GREATER_THAN_OR_EQUAL",
    "in": "IN",
}


def fill(
    query: Any, collection_id: str, where: Sequence[Where], order_by: Order, limit: int, after: Sequence[Any] | None
) -> None:
    """Fill `query`, a protobuf StructuredQuery, but for the last value of the cursor: a document's full name.

    Ties are ordered by name in the direction of the last order, which is what Firestore's indexes end with. Firestore
    orders by a field that is compared with `<` or `>` before it orders by name.
    """
    query.from_.add().collection_id = collection_id
    query.limit.value = limit
    for condition in where:
        _add_condition(query, *condition)
    ordered = {field for field, _ in order_by}
    compared = sorted({field for field, operator, _ in where if operator in _INEQUALITIES} - ordered)
    last = order_by[-1][1] if order_by else "asc"
    for field, direction in (*order_by, *((field, last) for field in compared)):
        _add_order(query, _path(field), direction)
    _add_order(query, "__name__", last)
    if after is not None:
        _add_cursor(query, order_by, compared, after)


def _add_order(query: Any, path: str, direction: Literal["asc", "desc"]) -> None:
    order = query.order_by.add()
    order.field.field_path = path
    order.direction = {"asc": 1, "desc": 2}[direction]


def _add_cursor(query: Any, order_by: Order, compared: Sequence[str], after: Sequence[Any]) -> None:
    if len(after) != len(order_by) + 1:
        raise Malformed("a cursor holds one value for each order and the last row's id")
    if compared:
        raise Malformed(f"pages of a query that compares {compared[0]!r} must be ordered by it")
    query.start_at.before = False
    for value in after[:-1]:
        values.write_value(value, query.start_at.values.add())


def _add_condition(query: Any, field: str, operator: str, value: Any) -> None:
    if operator not in _OPERATORS:
        raise Malformed(f"there is no operator {operator!r}")
    query.where.composite_filter.op = 1  # AND
    added = query.where.composite_filter.filters.add()
    if value is None:
        if operator != "==":
            raise Malformed("only text, numbers and times can be compared")
        added.unary_filter.field.field_path = _path(field)
        added.unary_filter.op = 3  # IS_NULL
        return
    kind = added.field_filter
    kind.field.field_path = _path(field)
    kind.op = kind.DESCRIPTOR.enum_types_by_name["Operator"].values_by_name[_OPERATORS[operator]].number
    values.write_value(list(value) if operator == "in" else value, kind.value)


def _path(field: str) -> str:
    if not _FIELD.fullmatch(field):
        raise Malformed(f"{field[:100]!r} is not a field")
    return ".".join(part if _PLAIN.fullmatch(part) else f"`{part}`" for part in field.split("."))
