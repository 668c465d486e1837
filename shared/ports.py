"""What the domain asks of the world, in our nouns. Adapters: `shared/adapters/local`, `shared/adapters/google`; of
`Backlogs`, which only the command line asks, the local one is `local/backlogs.py`.

All methods block; callers on an event loop run them in a thread. Errors are those of `shared.errors`: `NotFound`,
`Conflict` / `AlreadyExists` for failed preconditions, `Retryable` for passing faults (an adapter has already retried
a bounded number of times when it raises one).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

Data = dict[str, Any]  # JSON values and timezone-aware datetimes
Operator = Literal["==", "<", "<=", ">", ">=", "in"]
Where = tuple[str, Operator, Any]  # dotted field path, operator, value
Method = Literal["GET", "PUT", "POST"]  # of a signed URL


@dataclass(frozen=True, slots=True)
class Document:
    """One document as read. `version` is opaque and changes with every write; `read_time` is the store's clock."""

    path: str  # "predictions/abc", "predictions/abc/feedback/def"
    data: Data
    version: str
    create_time: datetime
    update_time: datetime
    read_time: datetime

    @property
    def id(self) -> str:
        return self.path.rsplit("/", 1)[1]


class Documents(Protocol):
    """A document store with compare-and-set on each document's version."""

    def get(self, path: str) -> Document | None: ...

    def create(self, path: str, data: Data) -> Document:
        """Raise `AlreadyExists` if there is one."""

    def replace(self, path: str, data: Data, version: str) -> Document:
        """Write the whole document only if its version is still `version`, else raise `Conflict`."""

    def delete(self, path: str, version: str | None = None) -> None:
        """Deleting what does not exist is fine; with `version`, raise `Conflict` if it changed."""

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[tuple[str, Literal["asc", "desc"]]] = (),
        limit: int = 100,
        after: Sequence[Any] | None = None,
    ) -> list[Document]:
        """Documents directly in `collection`, ordered (ties by path); `after` holds the last row's order values and,
        last, its id: the cursor."""

    def watch(self, path: str) -> AsyncIterator[Document | None]:
        """The document now, then after each change (changes may coalesce). Holds no thread per watcher."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One generation of an object. `crc32c` and `md5` are base64 of big-endian bytes, as Cloud Storage writes them."""

    bucket: str
    name: str
    generation: int
    size: int  # bytes
    content_type: str
    crc32c: str
    md5: str
    create_time: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a client must send: `method url` with exactly these headers."""

    method: Method
    url: str
    headers: Mapping[str, str]


def bound_headers(method: Method, content_type: str, max_bytes: int) -> dict[str, str]:
    """What must be sent exactly so with a signed URL, because it is signed; the names are Cloud Storage's."""
    if method == "GET":
        return {}
    headers = {"x-goog-if-generation-match": "0"}  # creates only
    if content_type:
        headers["content-type"] = content_type
    if max_bytes:
        headers["x-goog-content-length-range"] = f"1,{max_bytes}"
    if method == "POST":
        headers["x-goog-resumable"] = "start"
    return headers


class Objects(Protocol):
    """Immutable generations of named bytes in buckets."""

    def stat(self, bucket: str, name: str, generation: int | None = None) -> ObjectInfo: ...

    def get(self, bucket: str, name: str, generation: int | None = None, span: tuple[int, int] | None = None) -> bytes:
        """The bytes of one generation (the live one if None); `span` = [start, stop). A whole read is checked
        against crc32c; a mismatch raises `Retryable`."""

    def put(
        self,
        bucket: str,
        name: str,
        data: bytes,
        content_type: str,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Durable when it returns. `if_generation_match=0`: only if no live object exists, else `Conflict`."""

    def delete(self, bucket: str, name: str, generation: int | None = None) -> None:
        """Deleting what does not exist is fine."""

    def list(self, bucket: str, prefix: str = "", after: str = "", limit: int = 1000) -> list[ObjectInfo]:
        """Live objects in name order, names greater than `after`."""

    def sign(
        self,
        method: Method,
        bucket: str,
        name: str,
        expires: datetime,
        content_type: str = "",
        max_bytes: int = 0,
    ) -> SignedRequest:
        """A URL that does exactly this until `expires`. PUT binds content type and size, creates only; so does POST,
        whose answer's `Location` is then good for a resumable upload."""


Message = tuple[bytes, Mapping[str, str]]  # data, attributes


class Topics(Protocol):
    """Publish only: delivery is by push."""

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """Durable when it returns the message id. Subscribers see it at least once; `Misconfigured`: no such topic,
        `Malformed`: it is empty or too large."""

    def publish_all(self, topic: str, messages: Sequence[Message]) -> Sequence[str | Exception]:
        """As `publish` for each, with as few requests as may be: the id of each in order, or its error. One that is
        refused takes no other with it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that nobody has acknowledged; a push of it may be under way."""

    subscription: str
    id: str
    attributes: Mapping[str, str]
    publish_time: datetime


@dataclass(frozen=True, slots=True)
class Messages:
    """All of them. Nothing was delivered before `since`: who waited then waited for the queue itself."""

    as_of: datetime
    since: datetime
    waiting: Sequence[Waiting]


@dataclass(frozen=True, slots=True)
class Figure:
    """Of one subscription: messages at most during the last minutes, and the age of the oldest one."""

    most: int
    oldest: timedelta


@dataclass(frozen=True, slots=True)
class Figures:
    """Where a queue tells numbers only, by subscription. One that is not there is not known, which is not empty."""

    as_of: datetime
    subscriptions: Mapping[str, Figure]


class Backlogs(Protocol):
    """What waits on the queue, without taking it from anybody; for `maskline audit`."""

    def look(self) -> Messages | Figures:
        """Raises `Misconfigured` or `Retryable` if nobody can say."""


@dataclass(frozen=True, slots=True)
class Share:
    """A revision's part of a service's requests. With a `tag` it has a URL of its own, even at 0 percent."""

    revision: str
    percent: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """How a service's requests are shared out. `version` is opaque and changes with every change of the service."""

    shares: tuple[Share, ...]
    version: str


class Services(Protocol):
    """What runs, by name: services with their revisions, and jobs. A call that returns has been accepted; what it
    asks for happens a little later."""

    def start_job(
        self, job: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None, tasks: int = 0
    ) -> str:
        """Start one execution and return its name; what is not given is as the job defines it. Never repeated: after
        a `Retryable` it may have started."""

    def traffic(self, service: str) -> Traffic: ...

    def set_traffic(self, service: str, shares: Sequence[Share], version: str) -> None:
        """Only if the service is still at `version`, else `Conflict`. The percentages add up to 100."""

    def set_min_instances(self, service: str, count: int) -> None:
        """How many instances are kept awake, over all revisions."""
