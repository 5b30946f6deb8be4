"""CP-SAT of OR-Tools, set up so that the process that uses this library keeps its own settings."""

from __future__ import annotations

from typing import Any

from eplb_opt.errors import MissingDependency
from eplb_opt.exact.shared.backend_imports import load_module


def import_cp_model() -> Any:
    """The module `ortools.sat.python.cp_model`.

    Raises
    ------
    MissingDependency
        When OR-Tools is not installed; the message names the extra.
    """
    return _import("ortools.sat.python.cp_model")


def import_min_cost_flow() -> Any:
    """The module `ortools.graph.python.min_cost_flow`.

    Raises
    ------
    MissingDependency
        When OR-Tools is not installed; the message names the extra.
    """
    return _import("ortools.graph.python.min_cost_flow")


def _import(name: str) -> Any:
    try:
        return load_module(name)
    except ImportError as error:
        raise MissingDependency("ortools", "cpsat") from error


def make_solver(cp_model: Any) -> Any:
    """A `CpSolver` that leaves the signals of the process alone.

    By default CP-SAT replaces the process's handler of SIGINT with its own, and afterwards with the
    system's default: the next Ctrl-C would then kill a server that handles it.
    """
    solver = cp_model.CpSolver()
    solver.parameters.catch_sigint_signal = False
    return solver
