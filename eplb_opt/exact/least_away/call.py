"""The least that a layer can have off home, or its links cost, or crosses nodes."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

from eplb_opt.exact.least_away.crossing import InTurn, by_flow
from eplb_opt.exact.least_away.homes import Homes
from eplb_opt.exact.least_away.places import LeastOffHome, dealt
from eplb_opt.exact.shared.ortools_backend import import_cp_model, make_solver

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Variables of a model at most; CP-SAT proves nothing of larger ones in its time.
MOST_VARIABLES = 10_000
#: CP-SAT's deterministic time, about seconds.
WORK = 1.0
#: CP-SAT gives its bound, an integer, as a float64: a difference below this is noise.
BOUND_NOISE = 1e-3


def least_off_home(layer: Problem) -> LeastOffHome | None:
    """A plan of a layer with as little as can be off home, and what no plan is below.

    Parameters
    ----------
    layer
        A problem of one layer with a topology.

    Returns
    -------
    LeastOffHome
        None where the layer has no load.

    Raises
    ------
    MissingDependency
        Without OR-Tools.
    """
    if not layer.load.any():
        return None
    if layer.dispatch == "nearest":
        return by_flow(layer)
    model = InTurn(layer) if layer.splits_by_sender else Homes(layer)
    if model.num_variables > MOST_VARIABLES:
        return LeastOffHome(None, model.floor())
    cp_model = import_cp_model()
    model.build(cp_model.CpModel())
    solver = make_solver(cp_model)
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = WORK
    status = solver.solve(model.model)
    if status == cp_model.INFEASIBLE:
        return LeastOffHome(None, Fraction(2))
    units = max(floor(solver.best_objective_bound + BOUND_NOISE), 0)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    return LeastOffHome(
        dealt(layer, model.place, model.places(solver.value)) if found else None,
        units / model.scale,
    )
