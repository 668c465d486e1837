"""`python -m tests.integration.faulty_scaler`: the scaler as it is, over containers whose device fails when told to."""

import sys

from local.scaler.__main__ import main
from local.scaler.revisions import Revision, container


def command(revision: Revision, port: int) -> list[str]:
    return [sys.executable, "-m", "tests.integration.faulty_container", *container(revision, port)[3:]]


if __name__ == "__main__":
    main(command)
