"""What waits on Pub/Sub, by Cloud Monitoring's figures: a message can only be seen by taking it from its subscriber.

The figures are of every minute and come up to two minutes late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from shared.adapters.google import rest
from shared.adapters.google.signing import own_credentials
from shared.errors import Retryable
from shared.ports import Figure, Figures

SERVICE = "Cloud Monitoring"
_API = "https://monitoring.googleapis.com"
_COUNT, _OLDEST = "num_undelivered_messages", "oldest_unacked_message_age"
_WINDOW = timedelta(minutes=10)

Point = tuple[datetime, int]
Series = Mapping[str, list[Point]]  # subscription → newest first


class CloudBacklogs:
    """`url` may be a stand-in's."""

    def __init__(
        self,
        project: str,
        credentials: Callable[[], Any] = own_credentials,
        url: str = _API,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._project = project
        self._credentials = credentials
        self._url = f"{url}/v3/projects/{project}/timeSeries"
        self._now = now

    def look(self) -> Figures:
        now = self._now()
        return figures(self._series(_COUNT, now), self._series(_OLDEST, now))

    def _series(self, metric: str, now: datetime) -> Series:
        query = {
            "filter": f'metric.type = "pubsub.googleapis.com/subscription/{metric}"',
            "interval.startTime": (now - _WINDOW).isoformat(),
            "interval.endTime": now.isoformat(),
        }
        return series(chain.from_iterable(page.get("timeSeries", []) for page in self._pages(query)))

    def _pages(self, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        token = ""
        while True:
            more = {"pageToken": token} if token else {}
            page = rest.get(SERVICE, self._credentials, self._project, self._url, {**query, **more})
            yield page
            token = page.get("nextPageToken", "")
            if not token:
                return


def series(rows: Iterator[Mapping[str, Any]]) -> Series:
    """By the name of the subscription; the API may tell one in parts."""
    found: dict[str, list[Point]] = {}
    for row in rows:
        points = [_point(point) for point in row.get("points", [])]
        found.setdefault(row["resource"]["labels"]["subscription_id"], []).extend(points)
    return {name: sorted(points, reverse=True) for name, points in found.items() if points}


def figures(counts: Series, ages: Series) -> Figures:
    """As of the time of which something is known of all of them. Raises `Retryable` if nothing is known at all."""
    if not counts:
        raise Retryable(f"{SERVICE} has no figures of the last minutes")
    known = {
        name: Figure(max(count for _, count in points), timedelta(seconds=ages[name][0][1] if name in ages else 0))
        for name, points in counts.items()
    }
    return Figures(min(points[0][0] for points in (*counts.values(), *ages.values())), known)


def _point(point: Mapping[str, Any]) -> Point:
    """64-bit numbers are text in JSON."""
    return datetime.fromisoformat(point["interval"]["endTime"]), int(point["value"]["int64Value"])
