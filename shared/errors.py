"""Every error that Maskline raises on purpose, as one tree whose branches say what the edge must do.

    MasklineError
    ├── Retryable              try again later            → 503 / nack
    │   ├── Busy               somebody holds it now      → 429 + Retry-After
    │   │   └── OverQuota      the caller had its share   → the same, and which limit it was
    │   └── StorageFull        no room on the disk        → 507
    ├── Permanent              trying again cannot help   → recorded, then acked
    │   ├── Rejected           the photo is not usable    → REJECTED, with its reason
    │   └── Malformed          the request is not usable  → 400
    ├── NotFound               no such document or object → 404
    ├── Conflict               a precondition failed      → re-read, then decide
    │   └── AlreadyExists      it was created before
    ├── Denied                 who are you / not yours    → 401, 403
    └── Misconfigured          a person must act          → one line, non-zero exit

Messages are written for people: no path, no class name, no secret.
"""

from __future__ import annotations


class MasklineError(Exception):
    """The root; catch it only at an edge."""


class Retryable(MasklineError):
    """A passing fault: the same call may succeed later."""


class Busy(Retryable):
    """Somebody holds it now; `retry_after` says for how many seconds at most."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OverQuota(Busy):
    """A limit of this caller's is reached: `limit` names it, `allowed` is how much it allows."""

    def __init__(self, limit: str, allowed: float, retry_after: float) -> None:
        super().__init__(f"This is over your limit {limit}, which is {allowed:g}.", retry_after)
        self.limit = limit
        self.allowed = allowed


class StorageFull(Retryable):
    """No room to store it; nothing was half-stored."""


class Permanent(MasklineError):
    """Trying again cannot help."""


class Rejected(Permanent):
    """The photo cannot be segmented; `reason` is a `shared.prediction.Reason` value."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Malformed(Permanent):
    """A request or message that does not have the agreed form."""


class NotFound(MasklineError):
    """No such document, object or generation."""


class Conflict(MasklineError):
    """A precondition failed: the thing changed since it was read."""


class AlreadyExists(Conflict):
    """It was created before."""


class Denied(MasklineError):
    """The caller did not prove who it is, or may not do this."""


class Misconfigured(MasklineError):
    """A person must change a setting, a file or a permission; the message says which."""
