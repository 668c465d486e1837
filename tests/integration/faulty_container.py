"""`python -m tests.integration.faulty_container`: the container as it is, on a device that fails as files tell it to.

In the folder `faults` beside the data: `most` holds how many photos fit into memory; while `sticky` exists, the next
photo breaks the device and takes the file with it. A photo that is all `NOT_FINITE` has an answer of NaN. The sizes of
all batches that were tried are in `tried`.
"""

import os
import sys
from pathlib import Path

from inference_container import workers
from inference_container.__main__ import main

NOT_FINITE = (1, 2, 3)  # RGB
FAULTS = Path(os.environ.get("MASKLINE_DATA", ".")) / "faults"


if __name__ == "__main__":
    workers.COMMAND = (sys.executable, "-m", "tests.integration.faulty_worker")
    status = main()
    sys.stderr.flush()
    os._exit(status)
