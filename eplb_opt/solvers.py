"""SciPy and OR-Tools take a second or two to load; who has time for that says so here."""

import sys
from importlib import import_module
from importlib.util import find_spec

SOLVERS = ("scipy.optimize", "ortools.sat.python.cp_model")


def solvers_are_loaded() -> bool:
    """Whether a model that needs them starts at once."""
    return all(name in sys.modules for name in SOLVERS)


def load_solvers() -> None:
    """Import those that are installed; a model that misses one names the extra that brings it."""
    for name in SOLVERS:
        if find_spec(name.split(".")[0]) is not None:
            import_module(name)
