"""Lower bounds on the largest GPU load, each with the reason it holds.

All arithmetic is exact: integers, or rationals where a bound is no integer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np

from eplb_opt.problem import Problem

#: Sets of groups a layer that are worth a water level each; beyond, a weaker bound serves.
MAX_GROUP_SETS = 5_000
#: Steps of the dynamic program over sets of groups; each is one numpy operation on all layers.
MAX_PARTITION_STEPS = 20_000


@dataclass(frozen=True)
class Bound:
    """A proven lower bound of one layer.

    Parameters
    ----------
    value
        In the problem's integer units.
    source
        Which argument proved it: "mean", "waterfill", "hierarchy", "cpsat", ...
    """

    value: Fraction
    source: str


def mean_bound(problem: Problem) -> list[Fraction]:
    """Mean GPU load.

    Replication moves tokens but never removes them, so some GPU carries at least the mean.
    """
    totals = problem.load.sum(axis=1).tolist()
    return [Fraction(total, problem.num_gpus) for total in totals]


def waterfill_bound(problem: Problem) -> list[Fraction]:
    """The least T with sum_e max(1, ceil(w_e / T)) <= num_slots.

    Some GPU carries the largest replica, and with every replica at most T an expert needs
    ceil(w_e / T) of them; when they exceed the slots, some replica is larger than T.
    """
    return water_levels(problem.load, problem.num_slots)


def hierarchical_bound(problem: Problem) -> list[Fraction]:
    """The best partition of the groups over the nodes, each node at its own bound.

    A node that holds a set of groups is a flat problem of its own, so its mean and its water level
    bound its heaviest GPU; the plan's largest load is at least the largest of them over the
    nodes, and the plan uses one of the partitions. Where there are too many partitions
    to look at, the node of the heaviest group g serves: it carries at least g and the
    lightest others that fill it.
    """
    num_sets = comb(problem.num_groups, problem.groups_per_node)
    if num_sets > MAX_GROUP_SETS or _num_partition_steps(problem) > MAX_PARTITION_STEPS:
        return _heaviest_group_bound(problem)
    group_sets = list(combinations(range(problem.num_groups), problem.groups_per_node))
    costs = _node_bounds(problem, group_sets)
    # Rationals are compared once, by their ranks; the dynamic program works on ranks.
    ranked = [sorted(set(row)) for row in costs]
    position = [{value: rank for rank, value in enumerate(row)} for row in ranked]
    ranks = np.array([[position[i][v] for v in row] for i, row in enumerate(costs)])
    best = _bottleneck_partition(problem.num_groups, group_sets, ranks)
    return [row[rank] for row, rank in zip(ranked, best.tolist(), strict=True)]


BoundMethod = Callable[[Problem], list[Fraction]]

#: Some milliseconds a model; they hold for hierarchical problems too, which allow fewer plans.
FLAT_BOUNDS: dict[str, BoundMethod] = {"mean": mean_bound, "waterfill": waterfill_bound}
#: Up to some milliseconds a layer.
HIERARCHICAL_BOUNDS: dict[str, BoundMethod] = {"hierarchy": hierarchical_bound}


def flat_bounds(problem: Problem) -> list[Bound]:
    """The best of mean and water level, one a layer."""
    return _best_of(FLAT_BOUNDS, problem)


def fast_bounds(problem: Problem) -> list[Bound]:
    """The best of all bounds that need no solver, one a layer."""
    methods = FLAT_BOUNDS | HIERARCHICAL_BOUNDS if problem.is_hierarchical else FLAT_BOUNDS
    return _best_of(methods, problem)


def _best_of(methods: dict[str, BoundMethod], problem: Problem) -> list[Bound]:
    found = {source: method(problem) for source, method in methods.items()}
    return [
        max((Bound(values[i], source) for source, values in found.items()), key=lambda b: b.value)
        for i in range(problem.num_layers)
    ]


def water_levels(load: np.ndarray, num_slots: int) -> list[Fraction]:
    """The least T with sum_e max(1, ceil(w_e / T)) <= num_slots, for each row of loads.

    The level is the value w_e / c of some replica. A bisection over integers, all rows at
    once, finds the integer T with T - 1 < level <= T; the few replica values in between are then
    compared exactly.

    Parameters
    ----------
    load
        int64 [num_rows, num_experts], rows adding up to less than 2**62.
    num_slots
        At least num_experts.

    Returns
    -------
    One rational a row, in units of the loads.
    """
    # Scaled up, the level exceeds num_slots, and no expert has two replica values in (T - 1, T].
    mean_bits = np.frexp(load.sum(axis=1) / num_slots)[1]
    shift = np.maximum(num_slots.bit_length() + 2 - mean_bits, 0)
    scaled = load << shift[:, None]
    level = _integer_levels(scaled, num_slots)
    counts = _needed(scaled, level)
    spare = num_slots - counts.sum(axis=1)
    # Each spare slot lowers the largest replica by a copy, so the level is the (spare + 1)-th
    # largest w / c. With w / c = T - deficit / c and counts far below 2**26, these ratios of small
    # integers are ordered truly by float64.
    deficit = counts * level[:, None] - scaled
    ratio = np.where(deficit < counts, deficit / counts, np.inf)
    order = np.argsort(ratio, axis=1, kind="stable")
    return [_level_of(load[i], counts[i], order[i, spare[i] :]) for i in range(len(load))]


def _level_of(load: np.ndarray, count: np.ndarray, order: np.ndarray) -> Fraction:
    return Fraction(int(load[order[0]]), int(count[order[0]])) if order.size else Fraction(0)


def _integer_levels(load: np.ndarray, num_slots: int) -> np.ndarray:
    """The least integer T >= 1 that fits the slots, for each row; int64 [num_rows]."""
    total, largest = load.sum(axis=1), load.max(axis=1)
    spare = num_slots - load.shape[1]
    high = np.maximum(largest, 1)
    if spare:  # sum ceil(w / T) < total / T + num_experts
        high = np.minimum(high, total // spare + 1)
    # One below the level, or 0: the slots cannot take the total, nor the largest expert alone.
    low = np.minimum(np.maximum(-(-total // num_slots), -(-largest // num_slots)), high) - 1
    low = np.maximum(low, 0)
    while (high - low > 1).any():
        middle = (low + high + 1) // 2
        fits = _needed(load, middle).sum(axis=1) <= num_slots
        high = np.where(fits, middle, high)
        low = np.where(fits, low, np.minimum(middle, high - 1))
    return np.asarray(high)


def _needed(load: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Replicas that keep each at or below the level, int64 [num_rows, num_experts]."""
    if load.max() < 2**52:
        # A quotient of such integers is at least a unit in the last place off any integer that
        # it does not equal, so float64's rounding does not change the ceiling; and it is faster.
        quotient = np.ceil(load / level[:, None].astype(np.float64)).astype(np.int64)
    else:
        quotient = -(-load // level[:, None])
    return np.asarray(np.maximum(quotient, 1))


def _node_bounds(problem: Problem, group_sets: list[tuple[int, ...]]) -> list[list[Fraction]]:
    """The larger of mean and water level of a node with each set of groups, [layer][set]."""
    num_layers, num_sets = problem.num_layers, len(group_sets)
    grouped = problem.load.reshape(num_layers, problem.num_groups, -1)
    rows = grouped[:, np.array(group_sets)].reshape(num_layers * num_sets, -1)
    levels = water_levels(rows, problem.slots_per_node)
    means = [Fraction(total, problem.gpus_per_node) for total in rows.sum(axis=1).tolist()]
    bounds = [max(pair) for pair in zip(levels, means, strict=True)]
    return [bounds[i * num_sets : (i + 1) * num_sets] for i in range(num_layers)]


def _num_partition_steps(problem: Problem) -> int:
    """Transitions of `_bottleneck_partition`."""
    size, total = problem.groups_per_node, problem.num_groups
    return sum(
        comb(total, done) * comb(total - done - 1, size - 1) for done in range(0, total, size)
    )


@lru_cache(maxsize=8)
def _partition_steps(num_groups: int, size: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """(set of groups placed so far, next sets to place), smallest first; sets are bit masks."""
    full = (1 << num_groups) - 1
    steps: dict[int, tuple[int, ...]] = {}
    frontier = {0}
    while frontier - {full}:
        for done in frontier:
            free = [g for g in range(num_groups) if not done >> g & 1]
            rest = combinations(free[1:], size - 1)  # the first free group goes somewhere: here
            steps[done] = tuple(sum(1 << g for g in (free[0], *others)) for others in rest)
        frontier = {done | added for done in frontier for added in steps[done]}
    return tuple(steps.items())


def _bottleneck_partition(
    num_groups: int, group_sets: list[tuple[int, ...]], cost: np.ndarray
) -> np.ndarray:
    """The least achievable largest cost over partitions into the given sets; [num_layers].

    Parameters
    ----------
    cost
        [num_layers, num_sets].
    """
    column = {sum(1 << g for g in members): idx for idx, members in enumerate(group_sets)}
    best: dict[int, np.ndarray] = {0: np.zeros(len(cost), dtype=cost.dtype)}
    for done, additions in _partition_steps(num_groups, len(group_sets[0])):
        for added in additions:
            value = np.maximum(best[done], cost[:, column[added]])
            known = best.get(done | added)
            best[done | added] = value if known is None else np.minimum(known, value)
    return best[(1 << num_groups) - 1]


def _heaviest_group_bound(problem: Problem) -> list[Fraction]:
    totals = problem.load.reshape(problem.num_layers, problem.num_groups, -1).sum(axis=2)
    totals = np.sort(totals, axis=1)
    lightest = totals[:, : problem.groups_per_node - 1].sum(axis=1)
    node = totals[:, -1] + lightest
    return [Fraction(total, problem.gpus_per_node) for total in node.tolist()]
