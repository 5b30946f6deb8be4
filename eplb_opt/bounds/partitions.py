"""Partitions of expert groups over nodes, each node with a proven bound of its own."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.sender_water import sender_levels
from eplb_opt.bounds.water_level import water_levels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eplb_opt.problem.problem import Problem

#: With more sets of groups a weaker bound is taken: each set costs a water level.
MAX_GROUP_SETS = 5_000
#: The most steps of the dynamic program over sets of groups; each is one numpy operation.
MAX_PARTITION_STEPS = 20_000


def least_node_bounds(problem: Problem) -> list[Fraction]:
    """The least, over all partitions, of the largest node bound, for each layer.

    The bound of a node is the larger of its mean and its water level.
    """
    group_sets = _group_sets(problem)
    costs = _node_bounds(problem, group_sets)
    # Rationals are compared once, by their ranks; the dynamic program works on ranks.
    ranked = [sorted(set(row)) for row in costs]
    position = [{value: rank for rank, value in enumerate(row)} for row in ranked]
    ranks = np.array([[position[i][v] for v in row] for i, row in enumerate(costs)])
    best = _bottleneck_partition(problem.num_groups, group_sets, ranks)
    return [row[rank] for row, rank in zip(ranked, best.tolist(), strict=True)]


def best_partition(problem: Problem) -> list[list[int]]:
    """The groups of each node in the best partition of one layer.

    It is the partition of `bounds.hierarchical_bound`: among those with the least largest node
    bound, one with a low sum of node bounds. Where there are too many partitions the groups are
    packed greedily.
    """
    if not can_enumerate(problem):
        return greedy_partition(problem)
    parts = least_partition(problem, set_bounds(problem))
    return [members(mask) for mask in parts or ()]


def set_bounds(problem: Problem) -> dict[int, Fraction]:
    """The larger of mean and water level of a node with each set of groups, by the set's bit mask.

    The problem has one layer and satisfies `can_enumerate`.
    """
    group_sets = _group_sets(problem)
    return dict(zip(map(_mask, group_sets), _node_bounds(problem, group_sets)[0], strict=True))


def least_partition(problem: Problem, cost: dict[int, Fraction]) -> tuple[int, ...] | None:
    """The partition with the least largest cost and, among those, with a low sum of costs.

    Parameters
    ----------
    problem
        A problem of one layer that satisfies `can_enumerate`.
    cost
        The cost of each set of groups, by bit mask; sets without a cost are not used.

    Returns
    -------
    The bit mask of each node's groups, or None when the sets make no partition.
    """
    best: dict[int, tuple[Fraction, Fraction, tuple[int, ...]]] = {
        0: (Fraction(0), Fraction(0), ())
    }
    for done, additions in _partition_steps(problem.num_groups, problem.groups_per_node):
        if done not in best:
            continue
        largest, total, parts = best[done]
        for added in additions:
            if added in cost:
                value = (max(largest, cost[added]), total + cost[added], (*parts, added))
                best[done | added] = min(best.get(done | added, value), value)
    full = _mask(range(problem.num_groups))
    return best[full][2] if full in best else None


def members(mask: int) -> list[int]:
    """The groups of a set, given as a bit mask, in ascending order."""
    return [group_idx for group_idx in range(mask.bit_length()) if mask >> group_idx & 1]


def greedy_partition(problem: Problem) -> list[list[int]]:
    """The groups of each node by longest processing time first, for one layer.

    The heaviest group that is left goes to the lightest node with room.

    References
    ----------
    R. L. Graham, "Bounds on multiprocessing timing anomalies", SIAM Journal on Applied Mathematics
    17, 1969.
    """
    totals = problem.load[0].reshape(problem.num_groups, -1).sum(axis=1).tolist()
    nodes: list[list[int]] = [[] for _ in range(problem.num_nodes)]
    loads = [0] * problem.num_nodes
    for group_idx in sorted(range(problem.num_groups), key=lambda g: (-totals[g], g)):
        room = [n for n, held in enumerate(nodes) if len(held) < problem.groups_per_node]
        node_idx = min(room, key=lambda n: (loads[n], n))
        nodes[node_idx].append(group_idx)
        loads[node_idx] += totals[group_idx]
    return [sorted(held) for held in nodes]


def can_enumerate(problem: Problem) -> bool:
    """Whether looking at every partition takes milliseconds a layer."""
    num_sets = comb(problem.num_groups, problem.groups_per_node)
    return num_sets <= MAX_GROUP_SETS and _num_partition_steps(problem) <= MAX_PARTITION_STEPS


def _node_bounds(problem: Problem, group_sets: list[tuple[int, ...]]) -> list[list[Fraction]]:
    """The larger of mean and water level of a node with each set of groups, by layer and set."""
    num_layers, num_sets = problem.num_layers, len(group_sets)
    grouped = problem.load.reshape(num_layers, problem.num_groups, -1)
    rows = grouped[:, np.array(group_sets)].reshape(num_layers * num_sets, -1)
    if problem.splits_by_sender:  # the senders are the GPUs of all nodes
        levels = sender_levels(rows, problem.slots_per_node, problem.num_senders)
    else:
        levels = water_levels(rows, problem.slots_per_node)
    means = [Fraction(total, problem.gpus_per_node) for total in rows.sum(axis=1).tolist()]
    bounds = [max(both) for both in zip(levels, means, strict=True)]
    return [bounds[i * num_sets : (i + 1) * num_sets] for i in range(num_layers)]


def _num_partition_steps(problem: Problem) -> int:
    """The number of steps of `_bottleneck_partition`."""
    size, total = problem.groups_per_node, problem.num_groups
    return sum(
        comb(total, done) * comb(total - done - 1, size - 1) for done in range(0, total, size)
    )


@lru_cache(maxsize=8)
def _partition_steps(num_groups: int, size: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Tuples (set of groups placed so far, next sets to place), smallest first; all bit masks."""
    full = _mask(range(num_groups))
    steps: dict[int, tuple[int, ...]] = {}
    reached = {0}
    while reached - {full}:
        for done in reached:
            free = [g for g in range(num_groups) if not done >> g & 1]
            rest = combinations(
                free[1:], size - 1
            )  # some set holds the first free group, and the order of sets is free
            steps[done] = tuple(_mask((free[0], *others)) for others in rest)
        reached = {done | added for done in reached for added in steps[done]}
    return tuple(steps.items())


def _bottleneck_partition(
    num_groups: int, group_sets: list[tuple[int, ...]], cost: np.ndarray
) -> np.ndarray:
    """The least, over partitions into the given sets, of the largest cost, [num_layers].

    `cost` is [num_layers, num_sets], with a column for each of `group_sets`.
    """
    column = {_mask(members): idx for idx, members in enumerate(group_sets)}
    best: dict[int, np.ndarray] = {0: np.zeros(len(cost), dtype=cost.dtype)}
    for done, additions in _partition_steps(num_groups, len(group_sets[0])):
        for added in additions:
            value = np.maximum(best[done], cost[:, column[added]])
            known = best.get(done | added)
            best[done | added] = value if known is None else np.minimum(known, value)
    return best[_mask(range(num_groups))]


def _mask(members: Iterable[int]) -> int:
    return sum(1 << member for member in members)


def _group_sets(problem: Problem) -> list[tuple[int, ...]]:
    """All sets of groups that a node can hold."""
    return list(combinations(range(problem.num_groups), problem.groups_per_node))
