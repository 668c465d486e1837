"""Queries over documents as SQL: fields are looked up in the JSON text, so any dotted field can be asked for.

A field is expected to hold one type. As in Firestore, a document without a field that orders the result is not in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from shared.adapters.local import values
from shared.errors import Malformed
from shared.ports import Where

Order = Sequence[tuple[str, Literal["asc", "desc"]]]

# What the settle sweep and the API list by. The planner uses an index only when the query repeats its expressions.
INDEXED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "predictions": (
        ("state", "leaseExpireTime"),
        ("state", "publishTime"),
        ("state", "deadline"),
        ("ownerUid", "createTime"),
        ("ownerUid", "input.md5"),
        ("expireTime",),
    ),
}

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*")
_COMPARISONS = {"<", "<=", ">", ">="}


def indexes() -> list[str]:
    return [
        f"CREATE INDEX {collection}_{'_'.join(fields).replace('.', '_')} ON documents"
        f" ({', '.join(map(_extract, fields))}, path) WHERE collection = '{collection}'"
        for collection, rows in INDEXED.items()
        for fields in rows
    ]


def select(
    collection: str, where: Sequence[Where], order_by: Order, limit: int, after: Sequence[Any] | None
) -> tuple[str, list[Any]]:
    """The statement and its parameters. Raises `Malformed` for a field, operator or cursor that makes no sense."""
    clauses, parameters = _collection(collection)
    for field, operator, value in where:
        clause, more = _condition(field, operator, value)
        clauses.append(clause)
        parameters += more
    clauses += [f"json_type(data, {_json_path(field)}) IS NOT NULL" for field, _ in order_by]
    if after is not None:
        clause, more = _after(order_by, after, collection)
        clauses.append(clause)
        parameters += more
    order = [f"{_extract(field)} {direction}" for field, direction in order_by]
    if order_by:
        order.append(f"path {order_by[-1][1]}")
    else:  # `+` keeps the planner from walking all paths in order instead of looking up what is asked for
        order.append("+path" if where else "path")
    text = f"SELECT * FROM documents WHERE {' AND '.join(clauses)} ORDER BY {', '.join(order)} LIMIT ?"  # noqa: S608 - fields are checked
    return text, [*parameters, limit]


def _collection(collection: str) -> tuple[list[str], list[Any]]:
    if collection in INDEXED:  # written out: the planner cannot match a partial index with a parameter
        return [f"collection = '{collection}'"], []
    return ["collection = ?"], [collection]


def _condition(field: str, operator: str, value: Any) -> tuple[str, list[Any]]:
    expression = _extract(field)
    if operator == "in":
        choices = [_comparable(choice) for choice in value]
        return f"{expression} IN ({', '.join('?' * len(choices))})", choices
    if operator == "==":
        if value is None or isinstance(value, bool):
            return f"json_type(data, {_json_path(field)}) = ?", ["null" if value is None else str(value).lower()]
        return f"{expression} = ?", [_comparable(value)]
    if operator not in _COMPARISONS:
        raise Malformed(f"there is no operator {operator!r}")
    text = "" if isinstance(parameter := _comparable(value), str) else "NOT "
    return f"({expression} {operator} ? AND {text}typeof({expression}) = 'text')", [parameter]


def _comparable(value: Any) -> str | int | float:
    scalar = values.scalar(value)
    if scalar is None or isinstance(scalar, bool):
        raise Malformed("only text, numbers and times can be compared")
    return scalar


def _after(order_by: Order, cursor: Sequence[Any], collection: str) -> tuple[str, list[Any]]:
    """Rows strictly after the cursor: equal in the first k values and beyond it in the next, for any k."""
    if len(cursor) != len(order_by) + 1:
        raise Malformed("a cursor holds one value for each order and the last row's id")
    last = order_by[-1][1] if order_by else "asc"
    keys = [
        (_extract(field), direction, values.scalar(v))
        for (field, direction), v in zip(order_by, cursor[:-1], strict=True)
    ]
    keys.append(("path", last, f"{collection}/{cursor[-1]}"))
    choices, parameters = [], []
    for index, (expression, direction, value) in enumerate(keys):
        equal = [f"{e} IS ?" for e, _, _ in keys[:index]]
        beyond, more = _beyond(expression, direction, value)
        choices.append(" AND ".join([*equal, beyond]))
        parameters += [v for _, _, v in keys[:index]] + more
    return f"({' OR '.join(f'({choice})' for choice in choices)})", parameters


def _beyond(expression: str, direction: str, value: Any) -> tuple[str, list[Any]]:
    """Null comes before everything else, so it is last when descending."""
    if direction == "asc":
        return (f"{expression} > ?", [value]) if value is not None else (f"{expression} IS NOT NULL", [])
    return (f"({expression} < ? OR {expression} IS NULL)", [value]) if value is not None else ("0", [])


def _extract(field: str) -> str:
    return f"json_extract(data, {_json_path(field)})"


def _json_path(field: str) -> str:
    if not _FIELD.fullmatch(field):
        raise Malformed(f"{field[:100]!r} is not a field")
    return "'$" + "".join(f'."{name}"' for name in field.split(".")) + "'"
