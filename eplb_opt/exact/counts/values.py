"""Plans as values of the columns of the count-and-assignment model, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.shared.order import in_order

if TYPE_CHECKING:
    from eplb_opt.exact.counts.formulation import CountFormulation


def to_values(f: CountFormulation, physical_to_logical: np.ndarray) -> np.ndarray:
    """Every column's value for a plan, its GPUs and nodes put in the model's order.

    Parameters
    ----------
    f
        The model; its start must be no better than the plan.
    physical_to_logical
        int64 [num_slots], a plan that obeys the problem's rules.

    Returns
    -------
    int64 [num_columns].
    """
    problem = f.problem
    held = None if f.change is None else f.change.held
    gpus = in_order(problem, physical_to_logical, held).ravel()
    gpu, expert = (
        (np.arange(problem.num_slots) // problem.slots_per_gpu)[gpus >= 0],
        gpus[gpus >= 0],
    )
    count = np.bincount(expert, minlength=problem.num_experts)
    choice = np.flatnonzero(f.count == count[f.expert])  # one an expert, in their order
    values = np.zeros(f.choices.num_columns, dtype=np.int64)
    values[f.chosen[choice]] = 1
    np.add.at(values, f.placed[choice[expert], gpu], 1)
    if f.group_on_node.size:
        values[
            f.group_on_node[expert // problem.experts_per_group, gpu // problem.gpus_per_node]
        ] = 1
    return with_peaks(f, values)


def with_peaks(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    """The same values with each T as small as the replicas allow."""
    largest = (f.size * values[f.placed]).sum(axis=1).max(axis=1)
    values = values.copy()
    values[: f.choices.num_peaks] = 0
    np.maximum.at(values, f.peaks, largest)
    return values


def to_plan(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    """The plan of a solution, int64 [num_slots]; -1 in closed slots.

    Parameters
    ----------
    f
        The model.
    values
        [num_columns], integers or floats; the float noise of a backend is rounded off.
    """
    on_gpu = np.round(values[f.placed]).astype(np.int64).T
    placed = np.full(f.problem.num_slots, -1, dtype=np.int64)
    placed[f.problem.is_open] = np.repeat(np.tile(f.expert, f.problem.num_gpus), on_gpu.ravel())
    return placed
