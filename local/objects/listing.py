"""One page of a listing: names in order, folders folded into prefixes, a token for the next page."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

from local.objects.query import Query, number
from shared.adapters.local.catalog import Catalog
from shared.adapters.local.entries import Entry, after_prefix, object_resource
from shared.errors import Malformed

_MOST = 1000  # items and prefixes per page


@dataclass(slots=True)
class Page:
    """`start`: where the next page begins, None: there is none."""

    items: list[Entry] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    start: str | None = ""

    @property
    def size(self) -> int:
        return len(self.items) + len(self.prefixes)


def listing(catalog: Catalog, bucket: str, query: Query) -> dict[str, Any]:
    """The JSON API's `objects` resource. Blocks."""
    token = query.get("pageToken", "")
    page = Page(start=_start(token) if token else query.get("startOffset", ""))
    limit = min(number(query, "maxResults") or _MOST, _MOST)
    while page.start is not None and page.size < limit:
        _fill(page, catalog, bucket, query, limit)
    answer: dict[str, Any] = {"kind": "storage#objects", "items": [object_resource(entry) for entry in page.items]}
    if page.prefixes:
        answer["prefixes"] = page.prefixes
    if page.start is not None:
        answer["nextPageToken"] = _token(page.start)
    return answer


def _fill(page: Page, catalog: Catalog, bucket: str, query: Query, limit: int) -> None:
    """One query: up to the page's end, the listing's end, or a folder, which the next query jumps over."""
    prefix, delimiter, end = query.get("prefix", ""), query.get("delimiter", ""), query.get("endOffset", "")
    wanted = limit - page.size
    entries = catalog.list(bucket, prefix, limit=wanted, start=page.start or "")
    for entry in entries:
        name = entry.info.name
        if end and name >= end:
            page.start = None
            return
        at = name.find(delimiter, len(prefix)) if delimiter else -1
        if at >= 0:
            page.prefixes.append(name[: at + len(delimiter)])
            page.start = after_prefix(page.prefixes[-1])
            return
        page.items.append(entry)
        page.start = name + "\0"  # the least name that is greater
    if len(entries) < wanted:
        page.start = None


def _token(start: str) -> str:
    return base64.urlsafe_b64encode(start.encode()).decode()


def _start(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, ValueError):
        raise Malformed("pageToken is not one of ours") from None
