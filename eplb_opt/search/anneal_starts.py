"""What annealing starts from, where nodes divide the experts."""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.scenarios import blended
from eplb_opt.search.anneal_layer import relative_loads
from eplb_opt.search.starts import spread
from heuristics import greedy_numpy

if TYPE_CHECKING:
    from eplb_opt.problem import Problem
    from eplb_opt.search.anneal_layer import AnnealSearch

#: Exchanges of groups between nodes until a partition is taken as it is.
MAX_EXCHANGES = 200


def best_start(search: AnnealSearch) -> None:
    """Let the start settle; where groups stay on nodes, try another partition of them too."""
    search.settle()
    problem = search.problem
    if not problem.is_hierarchical:
        return
    placed = search.placed().copy()
    better = level_nodes(problem, nodes_of(problem, placed))
    if better != nodes_of(problem, placed):
        search.restart(start_on_nodes(problem, better))
        search.settle()


def nodes_of(problem: Problem, placed: np.ndarray) -> list[list[int]]:
    """The groups of each node in a plan ([num_slots]) that obeys the rules."""
    groups = placed.reshape(problem.num_nodes, -1) // problem.experts_per_group
    return [np.unique(row).tolist() for row in groups]


def level_nodes(problem: Problem, nodes: list[list[int]]) -> list[list[int]]:
    """Exchange groups between nodes while that levels the nodes under all loads.

    Parameters
    ----------
    problem
        Of one layer.
    nodes
        Groups of each node, to begin with.
    """
    weight, shares = relative_loads(problem)
    groups = weight.reshape(problem.num_groups, -1, weight.shape[1]).sum(axis=1)
    nodes = [list(held) for held in nodes]
    load = np.array([groups[held].sum(axis=0) for held in nodes])
    for _ in range(MAX_EXCHANGES):
        best, chosen = _unevenness(load, shares), (-1, -1, -1, -1)
        for n, m in combinations(range(len(nodes)), 2):
            for a, b in product(nodes[n], nodes[m]):
                value = _unevenness(_exchanged(load, groups, (n, m, a, b)), shares)
                if value < best:
                    best, chosen = value, (n, m, a, b)
        n, m, a, b = chosen
        if n < 0:
            break
        nodes[n][nodes[n].index(a)], nodes[m][nodes[m].index(b)] = b, a
        load = _exchanged(load, groups, chosen)
    return [sorted(held) for held in nodes]


def _exchanged(
    load: np.ndarray, groups: np.ndarray, exchange: tuple[int, int, int, int]
) -> np.ndarray:
    """Node loads after nodes n and m have exchanged groups a and b."""
    n, m, a, b = exchange
    after = load.copy()
    after[n] += groups[b] - groups[a]
    after[m] += groups[a] - groups[b]
    return after


def _unevenness(load: np.ndarray, shares: np.ndarray) -> float:
    """A norm of the node loads [num_nodes, num_scenarios] that follows the largest."""
    powers = load / load.mean(axis=0)
    for _ in range(4):
        powers = powers * powers
    return float((powers.sum(axis=0) * shares).sum())


def start_on_nodes(problem: Problem, nodes: list[list[int]]) -> np.ndarray:
    """A greedy plan of the blended loads with these groups on the nodes, int64 [num_slots]."""
    load = blended(problem).load[0]
    size = problem.experts_per_group
    parts = []
    for held in nodes:
        experts = np.concatenate([np.arange(g * size, (g + 1) * size) for g in held])
        if problem.colocation == "forbid":
            slots = spread(load[experts].tolist(), problem.gpus_per_node, problem.slots_per_gpu)
        else:
            weight = load[experts].astype(np.float64)[None, :]
            call = (weight, problem.slots_per_node, 1, 1, problem.gpus_per_node)
            slots = greedy_numpy.rebalance_experts(*call)[0][0]
        parts.append(experts[slots])
    return np.concatenate(parts).astype(np.int64)
