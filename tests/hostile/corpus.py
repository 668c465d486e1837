"""Every kind of file that somebody may send, made in code, with what must become of it.

python -m tests.hostile.corpus     # what each costs; one JSON line last
python -m tests.hostile.corpus DIR # writes them there
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from inference_container.decode import decode
from shared.errors import Rejected
from shared.prediction import Reason
from tests.hostile import disguises, jpegs, pngs, webps
from tests.hostile.kinds import Kind, Size

KINDS: list[Kind] = [*jpegs.ALL, *pngs.ALL, *webps.ALL, *disguises.ALL]
LIGHT = [kind for kind in KINDS if not kind.heavy]
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MEASURABLE = _RESET.exists()  # not every kernel forgets peaks


def outcome(data: bytes, input_size: int = 224) -> Size | Reason:
    """What becomes of it: the upright size, or why not. Any other error passes."""
    try:
        photo = decode(data, input_size)
    except Rejected as error:
        return Reason(error.reason)
    return photo.width, photo.height


def resident() -> int:
    """MiB that this process holds now."""
    return _field("VmRSS")


def peak() -> int:
    """MiB that it held at most since `forget_peak`."""
    return _field("VmHWM")


def forget_peak() -> None:
    _RESET.write_text("5")


def _field(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) >> 10


def main() -> None:
    if sys.argv[1:]:
        folder = Path(sys.argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            (folder / kind.name).write_bytes(kind.make())
        return
    rows = [_measured(kind) for kind in KINDS]
    for name, seconds, mebibytes, found in sorted(rows, key=lambda row: row[1], reverse=True)[:15]:
        print(f"{name:55} {1000 * seconds:7.0f} ms {mebibytes:5} MiB  {found}")
    light = {kind.name for kind in LIGHT}
    report = {
        "kinds": len(rows),
        "accepted": sum(not isinstance(kind.expected, Reason) for kind in KINDS),
        "unexpected": [name for name, *_, found in rows if found != _kind(name).expected],
        "worst_cpu_ms": round(1000 * max(row[1] for row in rows)),
        "worst_mib": max(row[2] for row in rows),
        "worst_small_cpu_ms": round(1000 * max(row[1] for row in rows if row[0] in light)),
        "worst_small_mib": max(row[2] for row in rows if row[0] in light),
    }
    print(json.dumps({"benchmark": "hostile", **report}))


def _kind(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


def _measured(kind: Kind) -> tuple[str, float, int, Size | Reason]:
    """CPU seconds and MiB beyond what was held before."""
    data = kind.make()
    forget_peak()
    before, began = resident(), time.process_time()
    found = outcome(data, 512)
    return kind.name, time.process_time() - began, max(0, peak() - before), found


if __name__ == "__main__":
    main()
