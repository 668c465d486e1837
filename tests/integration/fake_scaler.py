"""`python -m tests.integration.fake_scaler`: the scaler as it is, over fake instances."""

import sys
from pathlib import Path

from local.scaler.__main__ import main
from local.scaler.revisions import Revision, container

FAKE = Path(__file__).with_name("fake_instance.py")


def command(revision: Revision, port: int) -> list[str]:
    arguments = container(revision, port)[3:]  # after `python -m inference_container`
    return [sys.executable, "-I", "-S", str(FAKE), *arguments]


if __name__ == "__main__":
    main(command)
