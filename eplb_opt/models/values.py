"""Plans as values of the model's columns, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.models.formulation import LARGEST_LOAD
from eplb_opt.models.order import in_order

if TYPE_CHECKING:
    from eplb_opt.models.formulation import Formulation


def to_values(f: Formulation, physical_to_logical: np.ndarray) -> np.ndarray:
    """Every column's value for a plan, its GPUs and nodes put in the model's order.

    Parameters
    ----------
    f
        The model, made for a start that is no better than the plan.
    physical_to_logical
        int64 [num_slots], a plan that fits the problem.

    Returns
    -------
    int64 [num_columns].
    """
    problem = f.problem
    gpus = in_order(problem, physical_to_logical)
    count = np.bincount(gpus.ravel(), minlength=problem.num_experts)
    choice = np.flatnonzero(f.count == count[f.expert])  # one an expert, in their order
    values = np.zeros(f.choices.num_columns, dtype=np.int64)
    values[f.chosen[choice]] = 1
    gpu = np.repeat(np.arange(problem.num_gpus), problem.slots_per_gpu)
    np.add.at(values, f.placed[choice[gpus.ravel()], gpu], 1)
    values[LARGEST_LOAD] = f.size[choice[gpus]].sum(axis=1).max()
    if f.hosted.size:
        group, node = gpus // problem.experts_per_group, gpu // problem.gpus_per_node
        values[f.hosted[group.ravel(), node]] = 1
    return values


def to_plan(f: Formulation, values: np.ndarray) -> np.ndarray:
    """The plan of a solution's values, int64 [num_slots]; solvers' noise is rounded off."""
    on_gpu = np.round(values[f.placed]).astype(np.int64).T
    return np.repeat(np.tile(f.expert, f.problem.num_gpus), on_gpu.ravel())
