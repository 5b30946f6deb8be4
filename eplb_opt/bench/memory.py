"""The most memory that a stretch of work has taken."""

from __future__ import annotations

import sys
from pathlib import Path

#: Writing 5 here makes the system count the peak anew, on Linux and for the process's owner.
RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def count_peak_anew() -> None:
    """Forget the peak so far, where the system lets us; else it stays the process's."""
    try:
        RESET.write_text("5")
    except OSError:
        return


def peak_bytes() -> int:
    """The most memory that this process held since the peak was counted anew; 0 for unknown."""
    try:
        lines = STATUS.read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return _peak_of_process()


def _peak_of_process() -> int:
    try:
        import resource
    except ImportError:  # on Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
