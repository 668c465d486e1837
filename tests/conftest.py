"""Hypothesis for the whole suite: the same examples in every run, and no opinion on how fast a busy machine is.

New examples are tried by `make chaos`, whose tests name settings of their own.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "maskline", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("maskline")
