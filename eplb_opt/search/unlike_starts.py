"""First plans where nodes matter and their GPUs differ: all at home, annealed for a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.problem.node_kinds import at_home_alone
from eplb_opt.search.annealing.topology import TopologySearch
from eplb_opt.search.annealing.unlike_nodes import PARAMS, NodesSearch
from eplb_opt.search.at_home import first_plan_at_home, first_plan_on_nodes
from eplb_opt.search.within_limit import within_limit

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Slices of annealing of a layer, 2 ms: slots of GPUs that differ are filled badly one by one.
SLICES = 64


def first_plan_on_unlike(problem: Problem) -> np.ndarray:
    """The first plan, int64 [num_layers, num_slots]; the same for the same problem.

    Parameters
    ----------
    problem
        One with a topology, or whose groups stay on nodes; its GPUs differ in speed or slots.

    Raises
    ------
    ProblemError
        Where none is found within the limit on what is off home.
    """
    if problem.has_topology:
        rows = within_limit(problem, first_plan_at_home(problem))
    else:
        rows = first_plan_on_nodes(problem)
    placed = []
    for layer_idx, row in enumerate(rows):
        layer = problem.layer(layer_idx)
        if problem.has_topology:
            search = TopologySearch(layer, row, 0)
        else:
            search = NodesSearch(at_home_alone(layer), row, 0, PARAMS)
        if not search.is_trivial:
            search.run_slices(SLICES)
        placed.append(search.placed())
    return np.array(placed)
