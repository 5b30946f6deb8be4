"""Load what the first call would wait for."""

import time

from eplb_opt.exact.shared.backend_imports import load_backends


def warmup(everything: bool = False) -> float:
    """Load ahead of the first call what that call would load.

    The core comes compiled and is loaded with the package, so a serving process has nothing to
    wait for. `plan` imports SciPy and OR-Tools, a second or two, once it has a use for them.

    Parameters
    ----------
    everything
        Import those solvers now, as far as they are installed.

    Returns
    -------
    float
        Seconds that loading took.
    """
    began = time.monotonic()
    if everything:
        load_backends()
    return time.monotonic() - began
