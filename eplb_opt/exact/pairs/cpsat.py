"""Counts from CP-SAT for two slots a GPU, over the options that a level's root left."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.exact.shared.ortools_backend import import_cp_model, make_solver

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.core import pairs

#: Seconds for building and presolving a column on a slow core, and seconds kept back from CP-SAT,
#: which looks at its clock only now and then.
SECONDS_PER_COLUMN, SECONDS_TO_RETURN = 2e-5, 0.02


def find_counts(
    options: pairs.Options, num_slots: int, most_time: float, deadline: Deadline
) -> np.ndarray | bool | None:
    """Counts that satisfy every balance constraint within the slots.

    CP-SAT computes in integers, so its "infeasible" is a proof, though one without a certificate.

    Parameters
    ----------
    options
        The pairs of expert and count that are left at a level.
    num_slots
        The most replicas.
    most_time
        CP-SAT's deterministic time, in units of about a second.
    deadline
        The end of building, solving and reading together.

    Returns
    -------
    int64 [num_experts]; False when the options allow none; None when the search was cut off.

    Raises
    ------
    MissingDependency
        When OR-Tools is not installed.
    """
    cp_model = import_cp_model()
    size = len(options.count)
    if deadline.remaining < SECONDS_TO_RETURN + size * SECONDS_PER_COLUMN:
        return None
    model, columns = _build(cp_model, options, num_slots)
    solver = make_solver(cp_model)
    parameters = solver.parameters
    parameters.num_workers = 1
    parameters.linearization_level = 2
    parameters.max_deterministic_time = most_time
    left = deadline.remaining - SECONDS_TO_RETURN
    if isfinite(left):
        parameters.max_time_in_seconds = max(left, 0.0)
    status = solver.solve(model)
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        chosen = [solver.boolean_value(column) for column in columns]
        return np.asarray(options.count[chosen])
    return False if status == cp_model.INFEASIBLE else None


def _build(cp_model: Any, options: pairs.Options, num_slots: int) -> tuple[Any, list[Any]]:
    model = cp_model.CpModel()
    columns = [model.new_bool_var("") for _ in range(len(options.count))]
    first = options.first.tolist()
    for begin, end in pairwise(first):
        model.add_exactly_one(columns[begin:end])
    _add_balance(cp_model, model, columns, options, num_slots)
    model.add(_weighted(cp_model, columns, options.count, np.arange(len(columns))) <= num_slots)
    return model, columns


def _add_balance(
    cp_model: Any, model: Any, columns: list[Any], options: pairs.Options, num_slots: int
) -> None:
    """The running number of small less big replicas, from the highest key down, is at least 0."""
    rank, change = options.rank, options.change
    order = np.argsort(-rank, kind="stable")
    order = order[rank[order] > 0]
    running: Any = 0
    for at in np.split(order, np.flatnonzero(np.diff(rank[order])) + 1):
        following = model.new_int_var(0, num_slots, "")
        model.add(running + _weighted(cp_model, columns, change, at) == following)
        running = following


def _weighted(cp_model: Any, columns: list[Any], factor: np.ndarray, at: np.ndarray) -> Any:
    chosen = [columns[i] for i in at.tolist()]
    return cp_model.LinearExpr.weighted_sum(chosen, factor[at].tolist())
