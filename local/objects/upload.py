"""What is going to be written, and the last step of it: from bytes on disk to an object."""

from __future__ import annotations

from dataclasses import dataclass, field

from local.objects.hashes import Hashes
from shared.adapters.local.blobs import Blob
from shared.adapters.local.entries import ANY, Description, Entry, Preconditions
from shared.adapters.local.objects import LocalObjects
from shared.api.errors import TooLarge
from shared.errors import Malformed


@dataclass(frozen=True, slots=True)
class Upload:
    """Sizes in bytes; `most` 0: any."""

    about: Description
    conditions: Preconditions = ANY
    hashes: Hashes = field(default_factory=Hashes)
    least: int = 0
    most: int = 0

    def check_most(self, size: int) -> None:
        if self.most and size > self.most:
            raise TooLarge(f"at most {self.most} bytes may be uploaded here")

    def check_size(self, size: int) -> None:
        self.check_most(size)
        if size < self.least:
            raise Malformed(f"at least {self.least} bytes must be uploaded here")


def check_early(objects: LocalObjects, upload: Upload) -> None:
    """Spares the sending where it is known to be in vain; `keep` decides."""
    upload.conditions.check(objects.catalog.lookup(upload.about.bucket, upload.about.name))


def keep(objects: LocalObjects, blob: Blob, upload: Upload) -> Entry:
    """Make the bytes an object, if they are the announced ones; else they go."""
    try:
        upload.hashes.check(blob)
    except Malformed:
        objects.blobs.remove(blob.key)
        raise
    return objects.commit(blob, upload.about, upload.conditions)
