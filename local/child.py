"""`python -m local.child PARENT_PID ARGV…`: run ARGV, and die when the process that asked for it dies.

On Linux the kernel sees to it (prctl), so ARGV takes this process's place. Elsewhere this process stays and watches.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_LOOK = 0.2  # s between two looks at the parent, where the kernel does not tell


def command(argv: Sequence[str]) -> list[str]:
    """ARGV, to be started by this process and to die with it (on Linux: with the thread that starts it)."""
    # By path, isolated and without site: 10 ms instead of 30 on every start.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def stop_signals() -> list[signal.Signals]:
    """What tells a command to stop, beside Ctrl-C: SIGTERM, and SIGHUP (its terminal is gone) unless under nohup."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM] if ignored else [signal.SIGTERM, signal.SIGHUP]


def main(arguments: Sequence[str]) -> int:
    parent, argv = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        die_with(parent)
        os.execvp(argv[0], list(argv))  # noqa: S606 - no shell is meant
    return stay(parent, argv)


def die_with(parent: int) -> None:
    """From now on this process gets SIGKILL when `parent`, which started it, ends."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        import threading

        threading.Thread(target=_outlive, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(1)


def stay(parent: int, argv: Sequence[str]) -> int:
    """Run ARGV as a child, pass signals on to it, kill it when `parent` has ended; the exit status of a shell."""
    import subprocess

    process = subprocess.Popen(argv)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: process.send_signal(number))
    while process.poll() is None:
        if os.getppid() != parent:
            process.kill()
        time.sleep(_LOOK)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _outlive(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
