"""`python -m tests.hostile.faulty_decoder FD`: a decoder as shipped, but for photos that tell it what to do."""

from __future__ import annotations

import os
import time

from inference_container import decoder
from inference_container.decode import Photo, decode

HANG, SLEEP, CRASH, EAT = b"hang", b"sleep", b"crash", b"eat"


def obedient(data: bytes, input_size: int) -> Photo:
    if data.endswith(HANG):
        while True:
            pass
    if data.endswith(SLEEP):
        time.sleep(600)
    if data.endswith(CRASH):
        os.abort()
    if data.endswith(EAT):
        bytearray(2 * decoder.MEMORY)
    return decode(data, input_size)


if __name__ == "__main__":
    decoder.CPU_SECONDS = 1
    decoder.decode = obedient  # type: ignore[attr-defined, assignment]
    decoder.main()
