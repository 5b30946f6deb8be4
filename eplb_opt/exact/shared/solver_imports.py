"""SciPy and OR-Tools take a second or two to load; who has time for that says so here."""

import sys
import threading
import warnings
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

_LOADING = threading.Lock()
SOLVERS = ("scipy.optimize", "ortools.sat.python.cp_model")


def solvers_are_loaded() -> bool:
    """Whether a model that needs them starts at once."""
    return all(name in sys.modules for name in SOLVERS)


def load_solvers() -> None:
    """Import those that are installed; a model that misses one names the extra that brings it."""
    for name in SOLVERS:
        if find_spec(name.split(".")[0]) is not None:
            load_module(name)


def load_module(name: str) -> ModuleType:
    """Import a module, and leave the process's warning filters as they were.

    SciPy and torch add filters of their own while they load; a host that asked for other ones would
    not have them any more.
    """
    if name in sys.modules:
        return import_module(name)  # which waits where another thread is still loading it
    # One at a time: a second thread must not take the filters of a half-loaded SciPy for ours.
    with _LOADING, warnings.catch_warnings():
        return import_module(name)
