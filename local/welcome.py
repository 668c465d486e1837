"""`python -m local.welcome [--send]`: the page's sample photos; with `--send`, they are segmented on a first start.

A process of its own: scikit-image, where the photos come from, takes longer to import than the stack to start.
"""

from __future__ import annotations

import sys

from local.samples import prepare
from shared.prediction import COLLECTION
from shared.runtime import runtime

USER = "demo"  # the page's user in the local profile


def main(arguments: list[str]) -> None:
    settings = runtime().settings
    files = prepare(settings.data / "run" / "samples")
    if "--send" in arguments and not runtime().documents.query(COLLECTION, limit=1):
        from cli.client import connect
        from cli.send import upload

        upload(connect(settings, USER), files)


if __name__ == "__main__":
    main(sys.argv[1:])
