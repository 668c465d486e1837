"""Memory of the idle stack with zero inference instances, and of one instance after 100 photos.

PSS (proportional set size) is summed: pages that processes share are counted once. What limits it: every Python
process costs 10 MB before it imports anything; the gunicorn master of a function shares most pages with its worker.

    python -m benchmarks.memory
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.photos import photos
from benchmarks.processes import children, command_of, family
from benchmarks.report import finish
from benchmarks.system import stack, wait_until_ended
from shared.adapters.local.documents import LocalDocuments
from shared.adapters.local.objects import LocalObjects

PHOTOS = 100


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder)) as pids:
        idle = {role: round(sum(pss(pid) for pid in family(pid)), 1) for role, pid in pids.items()}
        objects = LocalObjects(Path(folder))
        for number, body in enumerate(photos(PHOTOS)):
            objects.put("uploads", f"users/bench/{number}.jpg", body, "image/jpeg")
        wait_until_ended(LocalDocuments(Path(folder) / "documents.db"), PHOTOS)
        instance = sum(pss(pid) for pid in instances(pids["up"]))
    for role, size in idle.items():
        print(f"{role:10} {size:7.1f} MB")
    finish(
        "memory",
        {"idle_mb": idle, "idle_total_mb": round(sum(idle.values()), 1), "instance_mb": round(instance, 1)},
    )


def instances(pid: int) -> list[int]:
    own = [pid] if b"inference_container" in command_of(pid) and b"child.py" not in command_of(pid) else []
    return own + [found for child in children(pid) for found in instances(child)]


def pss(pid: int) -> float:
    """Megabytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


if __name__ == "__main__":
    main()
