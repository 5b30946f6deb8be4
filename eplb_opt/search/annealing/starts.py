"""Plans that annealing starts from, with counts for all loads and groups levelled over nodes."""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.core import local
from eplb_opt.problem.scenarios import blended
from eplb_opt.search.annealing.layer import relative_loads

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.search.annealing.layer import AnnealSearch

#: The most exchanges of groups between nodes.
MAX_EXCHANGES = 200
#: Spare slots go where they most lower the p-norm of the replicas with p = 2**COUNT_DOUBLINGS.
COUNT_DOUBLINGS = 5


def settle_from_starts(search: AnnealSearch) -> None:
    """Let the search settle from its own start, and from one whose counts are for every load.

    Where groups stay on nodes, another partition of them is tried too.

    Parameters
    ----------
    search
        The search; it keeps the best plan.
    """
    search.settle()
    problem = search.problem
    if problem.has_gpu_rules:  # the other starts obey none of them
        return
    partitions = [[[0]]]
    if problem.is_hierarchical:
        given = nodes_of(problem, search.placed())
        partitions = [given, level_nodes(problem, given)]
    for nodes in partitions:
        start = start_on_nodes(problem, nodes)
        if start is not None:
            search.restart(start)
            search.settle()


def nodes_of(problem: Problem, placed: np.ndarray) -> list[list[int]]:
    """The groups of each node in a valid plan, int64 [num_slots]."""
    groups = placed.reshape(problem.num_nodes, -1) // problem.experts_per_group
    return [np.unique(row).tolist() for row in groups]


def level_nodes(problem: Problem, nodes: list[list[int]]) -> list[list[int]]:
    """The groups of each node after exchanges that level the loads of nodes, one by one.

    Parameters
    ----------
    problem
        A problem of one layer.
    nodes
        The groups of each node to begin with.
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
    """The loads of nodes after nodes n and m have exchanged groups a and b."""
    n, m, a, b = exchange
    after = load.copy()
    after[n] += groups[b] - groups[a]
    after[m] += groups[a] - groups[b]
    return after


def _unevenness(load: np.ndarray, shares: np.ndarray) -> float:
    """A high power sum of the loads of nodes, [num_nodes, num_scenarios], over their means."""
    powers = _high_power(load / load.mean(axis=0))
    return float((powers.sum(axis=0) * shares).sum())


def start_on_nodes(problem: Problem, nodes: list[list[int]]) -> np.ndarray | None:
    """A plan with these groups on the nodes, int64 [num_slots], or None where none is found.

    The counts are those of `counts_for_all`; then the heaviest replica of the blended loads that is
    left goes to the lightest GPU.
    """
    num_nodes = len(nodes)
    num_slots, num_gpus = problem.num_slots // num_nodes, problem.num_gpus // num_nodes
    weight, shares = relative_loads(problem)
    blend = blended(problem).load[0]
    size = problem.num_experts // sum(map(len, nodes))
    parts = []
    for held in nodes:
        experts = np.concatenate([np.arange(g * size, (g + 1) * size) for g in held])
        most = num_gpus if problem.colocation == "forbid" else num_slots
        count = counts_for_all(weight[experts], shares, num_slots, most)
        slots = _packed(blend[experts], count, num_gpus, problem)
        if slots is None:
            return None
        parts.append(experts[slots])
    return np.concatenate(parts).astype(np.int64)


def counts_for_all(weight: np.ndarray, shares: np.ndarray, num_slots: int, most: int) -> np.ndarray:
    """Greedy replication under several loads: each spare slot goes where it lowers a norm most.

    Parameters
    ----------
    weight
        float64 [num_experts, num_scenarios], relative loads.
    shares
        float64 [num_scenarios], the scenarios' weights.
    num_slots
        The number of replicas in all.
    most
        The most replicas of one expert.

    Returns
    -------
    ndarray
        Replicas of each expert, int64 [num_experts].
    """
    count = np.ones(len(weight), dtype=np.int64)
    for _ in range(num_slots - len(weight)):
        now, then = weight / count[:, None], weight / (count[:, None] + 1)
        # Relative to the largest replica the powers neither overflow nor vanish together.
        peak = now.max(axis=0)
        scale = np.where(peak > 0, peak, 1.0)
        lowered = _high_power(now / scale) - _high_power(then / scale)
        gain = (lowered * (shares * peak)).sum(axis=1)
        gain[count >= most] = -1.0
        count[int(gain.argmax())] += 1
    return count


def _high_power(values: np.ndarray) -> np.ndarray:
    for _ in range(COUNT_DOUBLINGS):
        values = values * values
    return values


def _packed(
    blend: np.ndarray, count: np.ndarray, num_gpus: int, problem: Problem
) -> np.ndarray | None:
    forbids = problem.colocation == "forbid"
    return local.pack(blend // count, count, num_gpus, problem.slots_per_gpu, forbids)
