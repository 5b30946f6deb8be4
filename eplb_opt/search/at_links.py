"""The node of each expert where links have costs: cheap ones, with the nodes' loads kept level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.problem import node_kinds, topology
from eplb_opt.problem.topology import MAX_PRICE

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


def level_nodes(problem: Problem) -> np.ndarray:
    """A node for each expert of one layer whose tokens have sources, int64 [num_experts].

    Experts in descending load go where they add least to the objective: the price of their links,
    and by how much the node's load would be above the largest so far, or the mean.

    Parameters
    ----------
    problem
        A problem of one layer whose topology has sources.
    """
    rules = problem.topology
    price = 0.0 if rules is None else rules.price
    if rules is not None and rules.max_off_home is not None:
        price = MAX_PRICE
    share = problem.load[0] / max(int(problem.load[0].sum()), 1)
    worth = (price * share[:, None] * cost_on_nodes(problem)).tolist()
    sizes = node_kinds.capacity_of_nodes(problem)
    part = (sizes / sizes.sum()).tolist()
    room = topology.slots_of_nodes(problem).tolist()
    held, largest = [0.0] * problem.num_nodes, 1.0
    nodes = np.zeros(problem.num_experts, dtype=np.int64)
    for expert in np.argsort(-problem.load[0], kind="stable").tolist():
        weight = float(share[expert])
        _, node = min(
            (cost + max((held[n] + weight) / part[n] - largest, 0.0), n)
            for n, cost in enumerate(worth[expert])
            if room[n]
        )
        nodes[expert] = node
        held[node] += weight
        room[node] -= 1
        largest = max(largest, held[node] / part[node])
    return nodes


def cost_on_nodes(problem: Problem) -> np.ndarray:
    """The mean cost of each expert's assignments on a node's GPUs, float64 [experts, nodes]."""
    links, is_there = problem.link_costs, problem.open_slots > 0
    node = topology.node_of_gpus(problem)[is_there]
    by_gpu = links.table[0][:, links.place[is_there]] / links.unit[0]
    first = np.searchsorted(node, np.arange(problem.num_nodes))
    size = topology.gpus_of_nodes(problem)
    return np.asarray(np.add.reduceat(by_gpu, first, axis=1) / size)
