"""What can go wrong between a decoded photo and its classes, in the terms of `shared.errors`."""

from __future__ import annotations

from shared.errors import MasklineError, Retryable


class OutOfMemory(Retryable):
    """The batch did not fit; for a batch of one, the photo did not."""


class DeviceBroken(Retryable):
    """The device answers nothing any more: this process must end, another one may succeed."""


class NotFinite(MasklineError):
    """The network's answer for this photo holds NaN or infinity: there is no mask to give."""
