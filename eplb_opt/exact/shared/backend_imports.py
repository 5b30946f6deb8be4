"""Imports of SciPy and OR-Tools, which take a second or two; callers decide when."""

import sys
import threading
import warnings
from contextlib import suppress
from importlib import import_module
from types import ModuleType

_LOADING = threading.Lock()
BACKENDS = ("scipy.optimize", "ortools.sat.python.cp_model")


def backends_are_loaded() -> bool:
    """Whether all backends are imported, so that a model that needs one starts at once."""
    return all(name in sys.modules for name in BACKENDS)


def load_backends() -> None:
    """Import the backends that are installed; a model names the extra of a missing one itself."""
    for name in BACKENDS:
        # One that is there, but lacks a package of its own, is as good as missing.
        with suppress(ImportError):
            load_module(name)


def load_module(name: str) -> ModuleType:
    """Import a module, and leave the process's warning filters as they were.

    SciPy and torch add filters of their own while they load, which would replace those of the
    program that uses this library.
    """
    if name in sys.modules:
        return import_module(name)  # which waits where another thread is still loading it
    # One at a time: a second thread must not take the filters of a half-loaded SciPy for ours.
    with _LOADING, warnings.catch_warnings():
        return import_module(name)
