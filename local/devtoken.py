"""Development ID tokens, as the command line and `up` use them; the keys lie in the data folder."""

from __future__ import annotations

from shared.adapters.local.tokens import DEMO_USER, issue, prepare

__all__ = ["DEMO_USER", "issue", "prepare"]
