"""The node of each expert where links have costs: cheap ones, with the nodes' loads kept level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.core import rules
from eplb_opt.problem import node_kinds, topology
from eplb_opt.problem.topology import MAX_PRICE

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


def level_nodes(problem: Problem) -> np.ndarray:
    """A node for each expert where tokens have sources, int64 [num_layers, num_experts].

    Experts in descending load go where they add least to the objective: the price of their links,
    and by how much the node's load would be above the largest so far, or the mean.

    Parameters
    ----------
    problem
        A problem of one load whose topology has sources.
    """
    terms = problem.topology
    price = 0.0 if terms is None else terms.price
    if terms is not None and terms.max_off_home is not None:
        price = MAX_PRICE
    share = problem.load / np.maximum(problem.load.sum(axis=1, keepdims=True), 1)
    worth = price * share[:, :, None] * cost_on_nodes(problem)
    sizes = node_kinds.capacity_of_nodes(problem)
    nodes = np.zeros(problem.load.shape, dtype=np.int64)
    rules.level_homes(
        np.ascontiguousarray(problem.load),
        np.ascontiguousarray(worth.reshape(-1, problem.num_nodes)),
        sizes / sizes.sum(),
        topology.slots_of_nodes(problem),
        nodes,
    )
    return nodes


def cost_on_nodes(problem: Problem) -> np.ndarray:
    """Mean costs of experts' assignments on nodes, float64 [num_layers, num_experts, num_nodes]."""
    links, is_there = problem.link_costs, problem.open_slots > 0
    node = topology.node_of_gpus(problem)[is_there]
    # Places are nodes, or GPUs: as many GPUs as a place has count its costs.
    counted = np.zeros((links.num_places, problem.num_nodes))
    np.add.at(counted, (links.place[is_there], node), 1.0)
    counted /= topology.gpus_of_nodes(problem)
    unit = np.array(links.unit, dtype=np.float64)
    return np.asarray(links.table @ counted / unit[:, None, None])
