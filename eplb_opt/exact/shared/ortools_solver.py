"""OR-Tools' CP-SAT, set up so that nothing of the host process changes."""

from __future__ import annotations

from typing import Any

from eplb_opt.errors import MissingDependency
from eplb_opt.exact.shared.solver_imports import load_module


def import_cp_model() -> Any:
    """The module `ortools.sat.python.cp_model`.

    Raises
    ------
    MissingDependency
        When OR-Tools is not installed; the message names the extra.
    """
    try:
        return load_module("ortools.sat.python.cp_model")
    except ImportError as error:
        raise MissingDependency("ortools", "cpsat") from error


def make_solver(cp_model: Any) -> Any:
    """A `CpSolver` that leaves the host's signals alone.

    By default CP-SAT puts a handler of its own in the place of the process's for SIGINT, and the
    system's default afterwards: the next Ctrl-C would then kill a server that handles it.
    """
    solver = cp_model.CpSolver()
    solver.parameters.catch_sigint_signal = False
    return solver
