"""Rules for how a service's requests are shared out, whatever runs it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import Malformed
from shared.ports import Share


def check_shares(shares: Sequence[Share]) -> None:
    """Raises `Malformed`."""
    if any(not share.revision or not 0 <= share.percent <= 100 for share in shares):
        raise Malformed("a share names a revision and has 0 to 100 percent")
    if sum(share.percent for share in shares) != 100:
        raise Malformed("the shares of a service's traffic add up to 100 percent")
    tags = [share.tag for share in shares if share.tag]
    if len(set(tags)) < len(tags):
        raise Malformed("a tag points at one revision")
