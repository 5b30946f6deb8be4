"""Two slots a GPU: counts from CP-SAT, over the options that the linear programs left."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.models.ortools_solver import import_cp_model, make_solver
from eplb_opt.models.pairs_options import chosen_counts

if TYPE_CHECKING:
    from eplb_opt.models.pairs_budget import Budget
    from eplb_opt.models.pairs_options import Options


def find_counts(
    options: Options, num_slots: int, budget: Budget, max_time: float, seed: int
) -> np.ndarray | bool | None:
    """Counts that satisfy every balance row within the slots.

    CP-SAT computes in integers, so its "infeasible" is a proof, though one without a certificate.

    Parameters
    ----------
    max_time
        CP-SAT's deterministic time, about seconds.

    Returns
    -------
    int64 [num_experts]; False when the options allow none; None when the search was cut off.
    """
    cp_model = import_cp_model()
    solver = make_solver(cp_model)
    parameters = solver.parameters
    parameters.num_workers = 1
    parameters.random_seed = seed % 2**31
    parameters.linearization_level = 2
    limit = min(max_time, budget.cpsat_time)
    if isfinite(limit):
        parameters.max_deterministic_time = limit
    model, columns = _build(cp_model, options, num_slots)
    if isfinite(budget.seconds):
        parameters.max_time_in_seconds = budget.seconds
    status = solver.solve(model)
    budget.spend_cpsat(solver.response_proto.deterministic_time)
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        weight = np.array([float(solver.value(column)) for column in columns])
        return chosen_counts(options, weight)
    return False if status == cp_model.INFEASIBLE else None


def _build(cp_model: Any, options: Options, num_slots: int) -> tuple[Any, list[Any]]:
    model = cp_model.CpModel()
    columns = [model.new_bool_var("") for _ in range(len(options))]
    for own in np.split(np.arange(len(options)), options.first[1:]):
        model.add_exactly_one([columns[i] for i in own])
    _add_balance(cp_model, model, columns, options, num_slots)
    model.add(_weighted(cp_model, columns, options.count, np.arange(len(options))) <= num_slots)
    return model, columns


def _add_balance(
    cp_model: Any, model: Any, columns: list[Any], options: Options, num_slots: int
) -> None:
    """The running (small - big) from the highest key down never falls below 0."""
    running: Any = 0
    for rank in range(int(options.rank.max()), 0, -1):
        at = np.flatnonzero(options.rank == rank)
        if at.size:
            following = model.new_int_var(0, num_slots, "")
            change = _weighted(cp_model, columns, options.change, at)
            model.add(running + change == following)
            running = following


def _weighted(cp_model: Any, columns: list[Any], factor: np.ndarray, at: np.ndarray) -> Any:
    chosen = [columns[i] for i in at]
    return cp_model.LinearExpr.weighted_sum(chosen, factor[at].tolist())
