"""Better first plans where nodes matter and their GPUs differ: annealed for a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.problem.node_kinds import at_home_alone
from eplb_opt.search.annealing.topology import TopologySearch
from eplb_opt.search.annealing.unlike_nodes import NodesSearch, nodes_params

if TYPE_CHECKING:
    import numpy as np

    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

#: Slices of annealing of a layer, 2 ms: slots of GPUs that differ are filled badly one by one.
SLICES = 64


def annealed_on_unlike(problem: Problem, placed: np.ndarray, until: Deadline) -> np.ndarray:
    """A plan with layers annealed, int64 [num_layers, num_slots]; the first ones if time is short.

    Parameters
    ----------
    problem
        One with a topology, or whose groups stay on nodes; its GPUs differ in speed or slots.
    placed
        int64 [num_layers, num_slots], a valid plan.
    until
        When no other layer is begun.
    """
    rows = placed.copy()
    for layer_idx, row in enumerate(placed):
        if until.expired:
            break
        layer = problem.layer(layer_idx)
        if problem.has_topology:
            search = TopologySearch(layer, row, 0)
        else:
            search = NodesSearch(at_home_alone(layer), row, 0, nodes_params(layer))
        if not search.is_trivial:
            search.run_slices(SLICES)
        rows[layer_idx] = search.placed()
    return rows
